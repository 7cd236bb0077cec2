"""Which machines train together, where they meet, and on which of their addresses; one alone meets itself on loopback.

Agents and ranks meet in torch's key-value store, which the machine that calls keeps on one address: torch, left to
itself, would listen on all of them.
"""

import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from typing import TYPE_CHECKING

from components.base.errors import UserError

if TYPE_CHECKING:
    from torch.distributed import Store

LOOPBACK = "127.0.0.1"
ALONE = 1800.0  # seconds that a rank waits for another of its own machine: a machine is not lost to itself


@dataclass(frozen=True, slots=True)
class Machines:
    """`nodes` machines, each with its share of the ranks, meet at `rendezvous`: "HOST:PORT", where HOST is an address
    of the machine that calls. One that is silent for `silence` seconds is lost; all have `wait` seconds to come."""

    nodes: int = 1
    rendezvous: str = f"{LOOPBACK}:0"
    silence: float = 120.0
    wait: float = 3600.0

    @property
    def timeout(self) -> float:
        """Seconds that a rank waits for the others."""
        return self.silence if self.nodes > 1 else ALONE


def wanted() -> Machines:
    """What the environment asks for: FOVEATE_NODES machines, FOVEATE_RENDEZVOUS, FOVEATE_SILENCE.

    Raises UserError naming the variable that is missing or makes no sense.
    """
    nodes = os.environ.get("FOVEATE_NODES") or "1"
    if not nodes.isdecimal() or int(nodes) < 1:
        raise UserError(f"expected a number of machines, got '{nodes}'", where="FOVEATE_NODES", mend="for example 2")
    if int(nodes) == 1:
        return Machines()
    rendezvous, silence = os.environ.get("FOVEATE_RENDEZVOUS", ""), os.environ.get("FOVEATE_SILENCE") or "120"
    place(rendezvous)
    if not silence.isdecimal() or int(silence) < 1:
        raise UserError(f"expected seconds, got '{silence}'", where="FOVEATE_SILENCE", mend="for example 120")
    return Machines(int(nodes), rendezvous, float(silence))


def place(rendezvous: str) -> tuple[str, int]:
    """Host and port; raises UserError where there are none."""
    host, _, port = rendezvous.rpartition(":")
    if not host or not port.isdecimal() or int(port) > 65535:
        raise UserError(f"expected HOST:PORT, got '{rendezvous}'", where="FOVEATE_RENDEZVOUS",
                        mend="name an address of this machine that the others reach, for example 10.0.0.1:29400")
    return host, int(port)


@contextmanager
def meeting(machines: Machines) -> Iterator[str]:
    """Inside, this process keeps the store at which all meet; yields its "HOST:PORT", with the port in use for 0."""
    from torch.distributed import TCPStore

    host, port = place(machines.rendezvous)
    try:
        listener = socket.create_server((host, port), backlog=1024)
    except OSError as error:
        raise UserError(f"cannot listen on {machines.rendezvous}: {error.strerror or error}",
                        where="FOVEATE_RENDEZVOUS", mend="name a free port of an address of this machine") from error
    port = listener.getsockname()[1]
    kept = TCPStore(host, port, is_master=True, wait_for_workers=False, master_listen_fd=listener.detach())
    try:
        yield f"{host}:{port}"
    finally:
        del kept  # which ends it


def meet(endpoint: str, attempt: str, timeout: float) -> "Store":
    """Where the ranks of an attempt meet, each of which waits `timeout` seconds for what others are to bring."""
    from torch.distributed import PrefixStore, TCPStore

    return PrefixStore(attempt, TCPStore(*place(endpoint), timeout=timedelta(seconds=timeout)))


def address_towards(endpoint: str) -> str:
    """The address by which this machine reaches `endpoint`. Raises OSError where it does not."""
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect(place(endpoint))  # sends nothing
        return probe.getsockname()[0]


def interface_of(address: str) -> str:
    """The name of the network interface that has an address."""
    import psutil

    return next(name for name, held in psutil.net_if_addrs().items() if address in (a.address for a in held))


def reachable(endpoint: str) -> bool:
    """Whether somebody answers there, asked for a second."""
    try:
        with socket.create_connection(place(endpoint), timeout=1):
            return True
    except OSError:
        return False

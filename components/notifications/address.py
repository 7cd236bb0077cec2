"""Connections to public addresses only: a name is resolved once, checked, and it is the checked address that is called.

Otherwise a message could be made to reach a service inside the house (server-side request forgery), also by a name that
resolves to something else at the second asking.
"""

import ipaddress
import os
import socket

from components.base.errors import UserError

ALLOW = "FOVEATE_NOTIFY_ALLOW"  # networks that are allowed though they are not public: "127.0.0.1, 10.1.0.0/16"


def resolve(host: str, port: int, where: str) -> list[str]:
    """The IP addresses of a host, all of them public or allowed.

    Raises UserError where one is not, or for a bad list of allowed networks; OSError for a name that does not resolve.
    """
    found = dict.fromkeys(str(info[4][0]).partition("%")[0]
                          for info in socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
    networks = _allowed()
    for text in found:
        address = ipaddress.ip_address(text)
        inner = getattr(address, "ipv4_mapped", None) or address  # ::ffff:10.0.0.1 is 10.0.0.1
        if (not inner.is_global or inner.is_multicast) and not any(inner in n for n in networks):
            raise UserError(f"'{host}' is the address {inner}, which is not public", where=where,
                            mend=f"name a public server, or allow the address: {ALLOW}={inner}")
    return list(found)


def connect(host: str, port: int, timeout: float, where: str) -> socket.socket:
    """A connection to one of the checked addresses of a host. Raises as `resolve`, and OSError where none answers."""
    failure: OSError = OSError(f"{host} has no address")
    for address in resolve(host, port, where):
        try:
            return socket.create_connection((address, port), timeout)
        except OSError as error:
            failure = error
    raise failure


def _allowed() -> list[ipaddress.IPv4Network | ipaddress.IPv6Network]:
    try:
        return [ipaddress.ip_network(t) for t in os.environ.get(ALLOW, "").replace(",", " ").split()]
    except ValueError as error:
        raise UserError(f"{error}", where=ALLOW, mend="give addresses or networks, such as 10.1.0.0/16") from None

"""Sends a message to every target, at once, within a few seconds, whatever the targets do."""

import threading
import time

from components.base.errors import UserError
from components.base.home import state
from components.base.text import line
from components.notifications.channels import Channel, Message, channels

PATIENCE = 10.0  # seconds in all; who is slower than that is left behind


def notify(message: Message, patience: float = PATIENCE) -> dict[str, str]:
    """{target: "" or why it failed}; never raises, and returns within `patience` seconds.

    Failures are also written to `<home>/logs/notifications.log`, without addresses or keys.
    """
    try:
        targets = channels()
    except UserError as error:
        return _written({"targets": line(str(error))}, message)
    outcome = {target.name: f"no answer in {patience:g} s" for target in targets}
    threads = [threading.Thread(target=_try, args=(target, message, outcome), daemon=True) for target in targets]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + patience
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))
    return _written(dict(outcome), message)


def _try(target: Channel, message: Message, outcome: dict[str, str]) -> None:
    try:
        target.send(message)
        outcome[target.name] = ""
    except Exception as error:  # a message is never worth a run
        told = str(error) if isinstance(error, UserError) else f"{type(error).__name__}: {error}"
        outcome[target.name] = line(told)


def _written(outcome: dict[str, str], message: Message) -> dict[str, str]:
    failed = [f"{time.strftime('%Y-%m-%d %H:%M:%S')} {message.event} {message.id}: {name}: {why}\n"
              for name, why in outcome.items() if why]
    try:
        if failed:
            with open(state("logs") / "notifications.log", "a", encoding="utf-8") as log:
                log.writelines(failed)
    except OSError:  # a full disk is told by what cannot do without it
        pass
    return outcome

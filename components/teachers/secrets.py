"""A key that is used but never shown: read from the environment or a Prefect Secret block, printed as ***."""

import os
from urllib.parse import urlsplit

from components.base.errors import UserError
from components.teachers.specs import OpenAI

LOOPBACK = ("127.0.0.1", "localhost", "::1")


class Secret:
    """Holds a key; `repr`, `str` and pickling do not give it away."""

    __slots__ = ("_value",)

    def __init__(self, value: str):
        self._value = value

    def __repr__(self) -> str:
        return "***"

    def __reduce__(self) -> str:
        raise TypeError("a secret stays in its process")

    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Bearer {self._value}"} if self._value else {}

    def hide(self, text: str) -> str:
        """`text` without the key, as a server may repeat it in an error or an answer."""
        return text.replace(self._value, "***") if self._value else text


def find(settings: OpenAI, url: str) -> Secret:
    """The key for a server, an empty one where none is set.

    Over plain http a key leaves this machine only if a setting names it: the key of another service, which merely
    happens to be in the environment, is not told to whoever listens. Raises UserError for a block that cannot be read.
    """
    if settings.key_block:
        return Secret(_block(settings.key_block))
    address = urlsplit(url)
    named = settings.key_env != OpenAI().key_env
    if address.scheme == "http" and address.hostname not in LOOPBACK and not named:
        return Secret("")
    return Secret(os.environ.get(settings.key_env, "").strip())


def _block(name: str) -> str:
    from prefect.blocks.system import Secret as Block

    try:
        value = Block.load(name, _sync=True).get()
    except Exception as error:  # whatever the server behind it says; it may hold more than a name
        raise UserError(f"no such Secret block can be read ({type(error).__name__})", where=f"key_block={name}",
                        mend="create it in Prefect, and set PREFECT_API_URL to the server that has it") from None
    if not isinstance(value, str) or not value:
        raise UserError("the Secret block holds no text", where=f"key_block={name}", mend="store the key in it")
    return value

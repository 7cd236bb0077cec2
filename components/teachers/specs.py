"""What names a teacher: `backend:where?setting=value&setting=value`, read and checked without loading anything."""

import os
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any, Literal
from urllib.parse import parse_qsl, urlsplit

import yaml

from components.base.config import from_dict
from components.base.errors import UserError, nearest
from components.encoders.checkpoint import located


@dataclass(frozen=True, slots=True)
class Embedded:
    """The embedded teacher has no settings."""


@dataclass(frozen=True, slots=True)
class Transformers:
    """A checkpoint run here. `auto` is a GPU in bfloat16 where there is one, else the processor in float32.

    `batch` questions are answered together; `side` bounds the longer side of an image in pixels; an answer has at most
    `max_tokens`, and one that does not fit its schema is asked for `attempts` times in all.
    """

    device: str = "auto"
    dtype: Literal["auto", "float32", "bfloat16", "float16"] = "auto"
    batch: int = 8
    side: int = 1024
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    attempts: int = 3


@dataclass(frozen=True, slots=True)
class OpenAI:
    """A server that speaks the OpenAI protocol.

    `key_env` names the environment variable that holds the key, `key_block` a Prefect Secret block that does instead.
    `revision` names the weights behind the server (else its address stands for them, and moving it asks all again).
    A request may take `timeout` seconds; the server may be out for `patience` seconds in all before the run stops.
    `batch_api` hands questions in by file and collects the answers later, at lower prices, where the server can.
    """

    key_env: str = "OPENAI_API_KEY"
    key_block: str = ""
    revision: str = ""
    concurrency: int = 64
    timeout: float = 120.0
    patience: float = 60.0
    retries: int = 5
    side: int = 1024
    max_tokens: int = 512
    temperature: float = 0.0
    seed: int = 0
    attempts: int = 3
    batch_api: bool = False


@dataclass(frozen=True, slots=True)
class Recorded:
    """Recorded answers have no settings: the file says who gave them, and how."""


SETTINGS = {"embedded": Embedded, "transformers": Transformers, "openai": OpenAI, "recorded": Recorded}
EXAMPLES = {"transformers": "transformers:Qwen/Qwen2.5-VL-3B-Instruct@main or transformers:path/to/checkpoint",
            "openai": "openai:MODEL@http://127.0.0.1:8000/v1", "recorded": "recorded:answers.jsonl"}


@dataclass(frozen=True, slots=True)
class Spec:
    """A checked spec: `where` is a hub name, an absolute path or MODEL@URL ("" for the embedded teacher)."""

    backend: str
    where: str
    settings: Any
    text: str

    def __str__(self) -> str:
        return self.text


def parse(text: str) -> Spec:
    """Reads and checks a spec; paths become absolute, so that the spec means the same wherever it is used.

    Raises UserError naming the backend, the setting or the path that is wrong, and never repeats a setting's value.
    """
    name, _, query = text.partition("?")
    backend, _, where = name.partition(":")
    if backend not in SETTINGS:
        raise UserError(f"no teacher '{backend}'", where="--teacher",
                        mend=nearest(backend, SETTINGS) or f"known: {', '.join(SETTINGS)}")
    settings = _settings(backend, query)
    if bool(where) != (backend in EXAMPLES):
        says = f"says where, as in {EXAMPLES[backend]}" if backend in EXAMPLES else "takes nothing after its name"
        raise UserError(f"the {backend} teacher {says}", where="--teacher", mend="foveate teacher info SPEC checks it")
    where = {"transformers": _checkpoint, "openai": _endpoint, "recorded": _file}.get(backend, str)(where)
    text = f"{backend}:{where}" if where else backend
    return Spec(backend, where, settings, f"{text}?{query}" if query else text)


def _settings(backend: str, query: str) -> Any:
    given = dict(parse_qsl(query, keep_blank_values=True))
    kind, place = SETTINGS[backend], f"--teacher {backend}:...?"
    known = [f.name for f in fields(kind)]
    if unknown := sorted(given.keys() - set(known)):
        raise UserError(f"no setting '{unknown[0]}'", where=place,
                        mend=nearest(unknown[0], known) or f"known: {', '.join(known) or 'none'}")
    try:
        settings = from_dict(kind, {f.name: given[f.name] if f.type is str else yaml.safe_load(given[f.name])
                                    for f in fields(kind) if f.name in given})
    except UserError as error:
        raise UserError(error.what, where=place + error.where, mend=error.mend) from None
    except yaml.YAMLError:
        raise UserError("a value cannot be read", where=place, mend="write numbers, words, true or false") from None
    for name in ("batch", "side", "max_tokens", "attempts", "concurrency", "timeout", "patience", "retries"):
        if getattr(settings, name, 1) <= 0:
            raise UserError("must be more than 0", where=place + name)
    if getattr(settings, "temperature", 0.0) < 0:
        raise UserError("must be at least 0", where=place + "temperature")
    if "key_env" in given and given["key_env"] not in os.environ:  # whatever was pasted here, it is not said again
        raise UserError("names no environment variable that is set", where=place + "key_env",
                        mend="give the NAME of the variable that holds the key, never the key")
    return settings


def _checkpoint(where: str) -> str:
    return located(where, "--teacher transformers:", EXAMPLES["transformers"])


def _endpoint(where: str) -> str:
    model, at, address = where.rpartition("@http")
    url = urlsplit(f"http{address}")
    if not at or not model or url.scheme not in ("http", "https") or not url.hostname:
        raise UserError("expected MODEL@URL", where="--teacher openai:...", mend=f"as in {EXAMPLES['openai']}")
    if url.username or url.password:
        raise UserError("a key does not belong into an address, where it would be logged", where="--teacher openai:...",
                        mend="put it into an environment variable, OPENAI_API_KEY or the one named by ?key_env=NAME")
    return f"{model}@{url.geturl().rstrip('/')}"


def _file(where: str) -> str:
    path = Path(where).expanduser()
    if not path.is_file():
        raise UserError("no such file", where=f"--teacher recorded:{where}",
                        mend="give the JSONL of answers that `foveate rationales cache export` writes")
    return str(path.absolute())

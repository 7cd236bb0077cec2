"""Finds a checkpoint by hub name or folder: a pinned revision, safetensors only, none of its own code."""

import importlib
import re
from pathlib import Path
from typing import Any

from components.base.artifacts import digest, file_digest
from components.base.errors import UserError

EMBEDDED = "embedded"  # the encoder that installs with Foveate; anything else names a checkpoint
# what is fetched, read and digested: no pickles; the last are the settings of a sentence encoder's modules
FILES = ("*.safetensors", "*.json", "*.jinja", "*.txt", "*.model", "[0-9]_*/config.json")
_HUB = re.compile(r"[\w.-]+/[\w.-]+(@[\w./-]+)?")
LOCAL = {"local_files_only": True, "trust_remote_code": False}


def located(where: str, what: str, example: str) -> str:
    """A checkpoint as it was named: the absolute path of a folder, or a name on the hub; nothing is fetched or read.

    Raises UserError where it can be neither; `what` is how errors call it.
    """
    folder = Path(where).expanduser()
    if folder.is_dir():
        return str(folder.absolute())
    if where.startswith((".", "/", "~")) or not _HUB.fullmatch(where):
        raise UserError("no such folder, and no name on the hub either", where=f"{what}{where}",
                        mend=f"as in {example}")
    return where


def find(where: str, what: str) -> tuple[Path, str, str]:
    """(folder, name, revision) of a checkpoint: the commit for a name on the hub, a sha256 over the files of a folder.

    `what` is how errors call it. Raises UserError where the hub has no such checkpoint, or cannot be reached and
    nothing was fetched before.
    """
    if (folder := Path(where)).is_dir():
        files = sorted(f for pattern in FILES for f in folder.glob(pattern))
        return folder, folder.name, digest([[f.relative_to(folder).as_posix(), file_digest(f)] for f in files])
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, LocalEntryNotFoundError

    name, _, revision = where.partition("@")
    try:
        folder = Path(snapshot_download(name, revision=revision or None, allow_patterns=list(FILES)))
    except LocalEntryNotFoundError as error:
        raise UserError("was not fetched before, and the hub cannot be reached", where=f"{what}{where}",
                        mend="connect once, or give the folder of a checkpoint") from error
    except (HfHubHTTPError, ValueError, OSError) as error:
        raise UserError(f"the hub refuses it ({first_line(error)})", where=f"{what}{where}",
                        mend="check name and revision; for a gated model, log in to the hub") from error
    return folder, name, folder.name  # a snapshot's folder is named by its commit


def model(folder: Path, where: str, attention: str = "eager") -> Any:
    """The whole network of a checkpoint, in float32 on the processor; `where` is how errors call it.

    Raises UserError where it cannot be loaded from safetensors and by the library's own code.
    """
    import torch

    # Not by an import statement: while another thread imports transformers, which puts another object in its own place
    # at the end, that gets the unfinished module.
    transformers = importlib.import_module("transformers")
    transformers.utils.logging.disable_progress_bar()
    try:
        return transformers.AutoModel.from_pretrained(folder, use_safetensors=True, dtype=torch.float32,
                                         attn_implementation=attention, **LOCAL)
    except (OSError, ValueError, KeyError, ImportError, RuntimeError, TypeError) as error:
        raise UserError(f"cannot be loaded ({first_line(error)})", where=where,
                        mend="give a checkpoint in safetensors that transformers knows itself") from error


def first_line(error: Exception) -> str:
    """The first line of a library's message that says something."""
    return next((text.strip() for text in str(error).splitlines() if text.strip()), type(error).__name__)[:300]

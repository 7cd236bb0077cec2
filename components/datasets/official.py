"""Recognises the published annotation files by content: their git blob ids, whatever the files are called here."""

import hashlib
from pathlib import Path

from components.base.errors import UserError

# what `git hash-object FILE` prints for the files of the repositories that publish them
_BLOBS = {
    "ce834851e673706b8ccd24df42c33281f29f8e85": "SWiG train.json",
    "b714bc23b91a3c9de3c0720fb38d80a453dcb59c": "SWiG dev.json",
    "68dd9e7e50b76d8c933035eba2234406e36fb549": "SWiG test.json",
    "752535fa2b901ce95efad8b383e00708c7afa16a": "SWiG and imSitu imsitu_space.json",
    "40df171dccaaa8f696e4f9b660604dff51fd2388": "SWiG verb_indices.txt",
    "fb3302d0a466416c5083f19a6a00037f4fb0dd59": "SWiG train_classes.csv",
    "29717cb739e2bbffa7b3340f9e0c4767e602ed6f": "SWiG role_indices.txt",
    "64bd348c48607808ca51641f4fbd0250434f317d": "imSitu train.json",
    "f308a194dd28b27494d27ccbe5c2e8ee088d593b": "imSitu dev.json",
    "efae6a55d6a353265141da89c868ebf1a64e83da": "imSitu test.json",
}


def git_blob(file: Path) -> str:
    """The git blob id of a file: sha1 of "blob", its size and its bytes, as `git hash-object` computes it.

    Raises UserError for a file that cannot be read.
    """
    try:
        blob = hashlib.sha1(f"blob {file.stat().st_size}\0".encode(), usedforsecurity=False)
        with open(file, "rb") as stream:
            while block := stream.read(1 << 20):
                blob.update(block)
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=str(file), mend="check the path") from error
    return blob.hexdigest()


def identify(file: Path) -> dict[str, str | None]:
    """{"git_blob": id, "known_as": the published file it equals byte for byte, or None}."""
    blob = git_blob(file)
    return {"git_blob": blob, "known_as": _BLOBS.get(blob)}

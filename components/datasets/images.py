"""Turns the bytes of any photograph into an upright RGB array or one clear error, and hashes how it looks."""

import io
import threading
import warnings
from pathlib import Path

import numpy as np
from PIL import Image, ImageOps

from components.base.errors import UserError

FORMATS = ("JPEG", "PNG", "WEBP")
MAX_PIXELS = 64_000_000
_MAGIC = (b"\xff\xd8", b"\x89PNG", b"RIFF")
_AGAIN = "copy the image again from its source, or remove it"
_SMALLER = f"scale the image down to at most {MAX_PIXELS // 10**6} megapixels"
_OPENING = threading.Lock()  # warnings.catch_warnings swaps process-wide filters, so only one thread may hold it


def load_image(data: bytes | Path, where: str = "") -> np.ndarray:
    """Decodes a JPEG, PNG or WebP (told by content, not by name) to uint8 [H, W, 3], upright, alpha laid on white.

    `where` names the image in errors (a path names itself). Raises UserError for anything that is not a whole image
    of at most 64 megapixels; the size is read from the header, so a decompression bomb is never decoded.
    """
    if isinstance(data, Path):
        where = where or str(data)
        data = _read(data, where)
    if not data:
        raise UserError("the file is empty (0 bytes)", where=where, mend="copy the image again or remove the file")
    picture = _open(data, where)
    width, height = picture.size
    if width * height > MAX_PIXELS:
        raise UserError(f"too large to decode: {width} x {height} pixels", where=where, mend=_SMALLER)
    try:
        picture.load()
    except Exception as error:  # decoders of broken data raise OSError, SyntaxError, ValueError, struct.error, ...
        raise UserError(f"truncated or corrupt {picture.format} ({error})", where=where, mend=_AGAIN) from error
    return np.asarray(_rgb(_upright(picture)))


def _read(path: Path, where: str) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot be read ({error.strerror})", where=where,
                        mend="check the path and its rights") from error


def _open(data: bytes, where: str) -> Image.Image:
    """The image with its header read only."""
    try:
        with _OPENING, warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            return Image.open(io.BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise UserError(f"too large to decode ({error})", where=where, mend=_SMALLER) from error
    except Exception as error:
        if data.startswith(_MAGIC):
            raise UserError("truncated or corrupt image", where=where, mend=_AGAIN) from error
        raise UserError("not a JPEG, PNG or WebP image, whatever its name says", where=where,
                        mend="convert it to one of these, or remove it") from error


def _upright(picture: Image.Image) -> Image.Image:
    """Applies the EXIF orientation; a photograph whose EXIF block is broken is taken as it is."""
    try:
        return ImageOps.exif_transpose(picture)
    except Exception:
        return picture


def _rgb(picture: Image.Image) -> Image.Image:
    if picture.mode.startswith("I"):  # 16-bit grey: Pillow's own conversion clips instead of scaling
        grey = (np.asarray(picture).astype(np.uint32).clip(0, 65535) // 257).astype(np.uint8)
        return Image.fromarray(grey).convert("RGB")
    if picture.has_transparency_data:
        picture = picture.convert("RGBA")
        white = Image.new("RGBA", picture.size, "white")
        return Image.alpha_composite(white, picture).convert("RGB")
    return picture.convert("RGB")


def suffix(data: bytes) -> str:
    """The file suffix that fits the content of an encoded image that `load_image` accepts."""
    return ".jpg" if data.startswith(b"\xff\xd8") else ".png" if data.startswith(b"\x89PNG") else ".webp"


def fit(image: np.ndarray, size: int) -> np.ndarray:
    """`image` uint8 [H, W, 3] squashed to [size, size, 3], antialiased; boxes map linearly."""
    if image.shape[:2] == (size, size):
        return image
    return np.asarray(Image.fromarray(image).resize((size, size), Image.Resampling.BILINEAR))


def _dct(frequencies: range, n: int) -> np.ndarray:
    """DCT-II rows [len(frequencies), n]."""
    return np.cos(np.pi / n * np.outer(np.array(frequencies), np.arange(n) + 0.5)).astype(np.float32)


_VERTICAL, _HORIZONTAL = _dct(range(0, 8), 32), _dct(range(1, 9), 32)
_MIRROR = int("aa" * 8, 16)  # the bits of odd horizontal frequencies 1, 3, 5, 7


def perceptual_hash(image: np.ndarray) -> str:
    """64-bit perceptual hash as 16 hex digits: signs of the low DCT frequencies of the grey 32 x 32 image.

    As the pHash of Zauner (2010), but with horizontal frequencies 1 to 8 and zero as threshold: no bit is wasted on the
    mean, and a mirrored image has the same hash but for the bits of the odd frequencies (see `mirrored`).
    """
    grey = Image.fromarray(image).convert("L").resize((32, 32), Image.Resampling.BILINEAR, reducing_gap=2.0)
    low = _VERTICAL @ np.asarray(grey, np.float32) @ _HORIZONTAL.T  # [8, 8]
    return np.packbits(low > 0.5).tobytes().hex()  # flat images hash to zero, not to rounding noise


def mirrored(value: str) -> str:
    """The hash of the same image flipped left to right."""
    return f"{int(value, 16) ^ _MIRROR:016x}"


def hamming(a: str, b: str) -> int:
    """How many of the 64 bits of two perceptual hashes differ."""
    return (int(a, 16) ^ int(b, 16)).bit_count()


def near_pairs(first: list[str], second: list[str], distance: int) -> list[tuple[int, int]]:
    """Index pairs (i, j) of hashes first[i], second[j] at most `distance` bits apart, as they are or mirrored.

    Comparing 10,000 with 10,000 hashes takes about a second.
    """
    a, b = (np.array([int(h, 16) for h in hashes], np.uint64) for hashes in (first, second))
    pairs: set[tuple[int, int]] = set()
    for start in range(0, len(a), 16):  # blocks that stay in the processor's cache
        block = a[start:start + 16, None]
        for other in (b, b ^ np.uint64(_MIRROR)):
            i, j = np.nonzero(np.bitwise_count(block ^ other) <= distance)
            pairs.update(zip((i + start).tolist(), j.tolist(), strict=True))
    return sorted(pairs)

"""Every kind of photograph becomes upright RGB, every broken one a clear error, and the hash sees likeness."""

import io
import struct
import time
import warnings
import zlib
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from components.base.errors import UserError
from components.datasets.images import fit, hamming, load_image, mirrored, near_pairs, perceptual_hash, suffix

PHOTOS = Path(__file__).parents[2] / "../shared/data/photos"


def picture(seed: int = 0, size: int = 64) -> np.ndarray:
    """A smooth random image uint8 [size, size, 3]."""
    coarse = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return np.asarray(Image.fromarray(coarse).resize((size, size), Image.Resampling.BICUBIC))


def encode(image: Image.Image, format: str, **options) -> bytes:
    stream = io.BytesIO()
    image.save(stream, format, **options)
    return stream.getvalue()


def quadrants() -> Image.Image:
    """20 x 10 pixels: left half red, right half blue."""
    image = Image.new("RGB", (20, 10), "red")
    image.paste("blue", (10, 0, 20, 10))
    return image


@pytest.mark.parametrize("format", ["PNG", "WEBP", "JPEG"])
def test_formats_by_content(format: str, tmp_path: Path) -> None:
    image = picture()
    path = tmp_path / "wrong_name.txt"
    path.write_bytes(encode(Image.fromarray(image), format, **({"lossless": True} if format == "WEBP" else {})))
    loaded = load_image(path)
    assert loaded.dtype == np.uint8 and loaded.shape == (64, 64, 3)
    assert np.abs(loaded.astype(int) - image).mean() < (4 if format == "JPEG" else 1e-9)
    assert suffix(path.read_bytes()) == {"PNG": ".png", "WEBP": ".webp", "JPEG": ".jpg"}[format]


@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation(orientation: int) -> None:
    upright = quadrants()
    undo = {1: [], 2: [0], 3: [3], 4: [1], 5: [5], 6: [2], 7: [6], 8: [4]}[orientation]
    stored = upright
    for operation in undo:
        stored = stored.transpose(Image.Transpose(operation))
    exif = Image.Exif()
    exif[0x0112] = orientation
    loaded = load_image(encode(stored, "PNG", exif=exif))
    assert np.array_equal(loaded, np.asarray(upright))


def test_broken_exif_is_passed_over() -> None:
    assert load_image(encode(quadrants(), "PNG", exif=b"Exif\0\0garbage")).shape == (10, 20, 3)


def test_colour_modes() -> None:
    grey = np.arange(0, 256, 4, dtype=np.uint8)[None].repeat(8, 0)
    assert np.array_equal(load_image(encode(Image.fromarray(grey), "PNG")), np.repeat(grey[..., None], 3, 2))
    deep = grey.astype(np.uint16) * 257
    assert np.array_equal(load_image(encode(Image.fromarray(deep), "PNG")), np.repeat(grey[..., None], 3, 2))
    assert load_image(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))[4, 4].tolist() == pytest.approx(
        [255, 0, 0], abs=4)
    assert load_image(encode(Image.new("1", (8, 8), 1), "PNG"))[0, 0].tolist() == [255, 255, 255]
    assert load_image(encode(quadrants().convert("P"), "PNG"))[0, 0].tolist() == [255, 0, 0]


def test_alpha_lies_on_white() -> None:
    clear = Image.new("RGBA", (4, 4), (255, 0, 0, 0))
    half = Image.new("LA", (4, 4), (0, 128))
    assert load_image(encode(clear, "PNG"))[0, 0].tolist() == [255, 255, 255]
    assert load_image(encode(half, "PNG"))[0, 0].tolist() == [127, 127, 127]
    palette = Image.new("P", (4, 4), 0)
    palette.putpalette([255, 0, 0])
    assert load_image(encode(palette, "PNG", transparency=0))[0, 0].tolist() == [255, 255, 255]


def test_real_photographs() -> None:
    files = sorted(p for p in PHOTOS.glob("*") if p.suffix in (".jpg", ".png"))
    if not files:
        pytest.skip("the shared photographs are not here")
    for path in files:
        image = load_image(path)
        with Image.open(path) as header:
            assert sorted(image.shape[:2]) == sorted(header.size)
        assert fit(image, 192).shape == (192, 192, 3)


def test_fit_squashes_and_antialiases() -> None:
    checker = np.indices((400, 200)).sum(0)[..., None].repeat(3, 2) % 2 * 255
    small = fit(checker.astype(np.uint8), 20)
    assert small.shape == (20, 20, 3) and np.abs(small.astype(int) - 127).max() < 20
    same = picture(size=20)
    assert fit(same, 20) is same


def bomb(side: int) -> bytes:
    """A PNG whose header claims side x side pixels."""
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))
    header = struct.pack(">IIBBBBB", side, side, 8, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(bytes(64))) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


@pytest.mark.parametrize("side", [8_001, 12_000, 60_000])
def test_decompression_bomb_is_refused_by_its_header(side: int) -> None:
    limit, filters = Image.MAX_IMAGE_PIXELS, list(warnings.filters)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        with pytest.raises(UserError, match=r"(?s)bomb\.png: too large.*mend: scale.*64 megapixels"):
            load_image(bomb(side), "bomb.png")
    assert limit == Image.MAX_IMAGE_PIXELS and filters == list(warnings.filters)


def test_threads_do_not_disturb_each_other() -> None:
    filters = list(warnings.filters)
    good = encode(quadrants(), "PNG")

    def load(number: int) -> bool:
        try:
            load_image(bomb(12_000) if number % 2 else good)
        except UserError:
            return False
        return True

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(load, range(64))) == [True, False] * 32
    assert filters == list(warnings.filters)


@pytest.mark.parametrize(("data", "what"), [
    (b"", "empty"),
    (b"this is not a picture", "not a JPEG, PNG or WebP"),
    (encode(quadrants(), "GIF"), "not a JPEG, PNG or WebP"),
    (encode(Image.fromarray(picture()), "JPEG")[:-400], "truncated"),
    (encode(Image.fromarray(picture()), "PNG")[:-400], "truncated"),
    (encode(Image.fromarray(picture()), "WEBP")[:-400], "truncated"),
], ids=["empty", "text", "gif", "short jpeg", "short png", "short webp"])
def test_broken_images_are_named(data: bytes, what: str, tmp_path: Path) -> None:
    path = tmp_path / "broken.jpg"
    path.write_bytes(data)
    with pytest.raises(UserError) as caught:
        load_image(path)
    assert what in caught.value.what and "broken.jpg" in caught.value.where and caught.value.mend


def test_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match=r"none\.jpg: cannot be read"):
        load_image(tmp_path / "none.jpg")


@given(st.integers(0, 2**32), st.integers(1, 300))
@settings(max_examples=40, deadline=None)
def test_flipped_bytes_never_escape_as_other_errors(seed: int, count: int) -> None:
    random = np.random.default_rng(seed)
    data = bytearray(encode(Image.fromarray(picture()), ("JPEG", "PNG", "WEBP")[seed % 3]))
    for place in random.integers(0, len(data), count):
        data[place] = random.integers(256)
    try:
        assert load_image(bytes(data)).shape[2] == 3
    except UserError as error:
        assert error.what


def test_perceptual_hash_sees_likeness() -> None:
    image = picture(size=256)
    value = perceptual_hash(image)
    assert len(value) == 16 and value == perceptual_hash(image.copy())
    again = load_image(encode(Image.fromarray(image).resize((180, 150)), "JPEG", quality=60))
    assert hamming(value, perceptual_hash(again)) <= 3
    assert hamming(mirrored(value), perceptual_hash(image[:, ::-1])) <= 1
    others = [perceptual_hash(picture(seed)) for seed in range(1, 40)]
    assert min(hamming(value, other) for other in others) > 10
    assert perceptual_hash(np.full((50, 50, 3), 77, np.uint8)) == "0" * 16


def test_near_pairs_finds_exactly_the_near_ones_fast() -> None:
    random = np.random.default_rng(0)
    first = [f"{v:016x}" for v in random.integers(0, 2**63, 10_000, np.uint64)]
    second = [f"{v:016x}" for v in random.integers(0, 2**63, 4_000, np.uint64)]
    second[7] = f"{int(first[9_999], 16) ^ 0b1011:016x}"
    second[8] = mirrored(first[3])
    second[9] = f"{int(first[4], 16) ^ 0b1111:016x}"
    start = time.process_time()
    assert near_pairs(first, second, 3) == [(3, 8), (9_999, 7)]
    assert time.process_time() - start < 5
    assert near_pairs([], second, 3) == [] and near_pairs(first, [], 3) == []

"""A bundle with one wrong byte, or half of itself, is refused by name; a failed write leaves the former one."""

import json

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from components.base.errors import UserError
from components.export.bundle import Bundle, seal, write_contents, writing

CONTENT = ["MODEL_CARD.md", "encoder.fp32.onnx", "tables.safetensors", "text/tokenizer.json", "text/text.int8.onnx",
           "vocabulary.json"]
MANIFEST = {"recipe": "mipd", "preprocessing": {"size": 192, "mean": 127.0, "std": 128.0}, "decoding": {},
            "graphs": {"encoder": {"files": {"fp32": "encoder.fp32.onnx", "int8": "encoder.fp32.onnx"}}},
            "precision": "fp32", "facts": {}, "provenance": {"run": "test"}}


def fill(folder, scale=2.0):
    """A small whole bundle around a real graph: y = scale * x."""
    graph = helper.make_graph(
        [helper.make_node("Mul", ["x", "scale"], ["y"])], "encoder",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor("scale", TensorProto.FLOAT, [1], [scale])])
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 20)], ir_version=10),
              folder / "encoder.fp32.onnx")
    sources = folder.parent / "sources"
    sources.mkdir(exist_ok=True)
    (sources / "tokenizer.json").write_text('{"version": "1.0"}')
    (sources / "text.int8.onnx").write_bytes((folder / "encoder.fp32.onnx").read_bytes())
    write_contents(folder, {"verbs": np.eye(3, dtype=np.float64)}, {"verbs": {"rowing": {"order": ["agent"]}}},
                   {name: sources / name for name in ("tokenizer.json", "text.int8.onnx")})
    (folder / "MODEL_CARD.md").write_text("# A student\n")
    return seal(folder, MANIFEST)


@pytest.fixture
def folder(tmp_path):
    with writing(tmp_path / "bundle") as part:
        fill(part)
    return tmp_path / "bundle"


def test_a_whole_bundle_opens_and_runs(folder):
    bundle = Bundle.open(folder)
    assert sorted(bundle.manifest["files"]) == sorted(CONTENT)
    assert bundle.tables()["verbs"].dtype == np.float32 and bundle.vocabulary()["verbs"]["rowing"]["order"] == ["agent"]
    x = np.ones((4, 3), np.float32)
    np.testing.assert_array_equal(bundle.session("encoder", threads=1)({"x": x, "other": x})["y"], 2 * x)
    assert len(bundle.identity) == 64


@pytest.mark.parametrize("name", CONTENT)
@pytest.mark.parametrize("where", ["first", "middle", "last"])
def test_one_flipped_bit_is_found_and_named(folder, name, where):
    content = bytearray((folder / name).read_bytes())
    content[{"first": 0, "middle": len(content) // 2, "last": -1}[where]] ^= 1
    (folder / name).write_bytes(content)
    with pytest.raises(UserError, match="sha256") as error:
        Bundle.open(folder)
    assert error.value.where.endswith(name) and "foveate export" in error.value.mend


def test_one_flipped_bit_anywhere_in_the_manifest_is_found(folder):
    whole = (folder / "manifest.json").read_bytes()
    meaning = json.loads(whole)
    silent = []
    for at in range(0, len(whole), 7):
        content = bytearray(whole)
        content[at] ^= 1
        (folder / "manifest.json").write_bytes(content)
        try:
            Bundle.open(folder)
            silent.append(at)
        except UserError as error:
            assert error.where.endswith("manifest.json") and error.mend
    for at in silent:  # only white space may differ unnoticed: what is read is what was sealed
        content = bytearray(whole)
        content[at] ^= 1
        assert json.loads(content) == meaning


@pytest.mark.parametrize("name", CONTENT)
def test_a_missing_file_is_named(folder, name):
    (folder / name).unlink()
    with pytest.raises(UserError, match="missing from the bundle") as error:
        Bundle.open(folder)
    assert error.value.where.endswith(name)


@pytest.mark.parametrize("name", CONTENT)
def test_a_truncated_file_is_named(folder, name):
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match="sha256") as error:
        Bundle.open(folder)
    assert error.value.where.endswith(name)


@pytest.mark.parametrize("schema", [0, 2, "1", None])
def test_a_bundle_of_another_schema_is_refused(folder, schema):
    rewrite(folder, schema=schema)
    with pytest.raises(UserError, match="this version reads 1") as error:
        Bundle.open(folder)
    assert "use the version of Foveate that made it" in error.value.mend


def test_an_edited_manifest_is_refused(folder):
    rewrite(folder, precision="int8")
    with pytest.raises(UserError, match="not the one it was sealed with"):
        Bundle.open(folder)


@pytest.mark.parametrize("text", ["", "{", "[]", "7", '{"schema": 1}', "\x00\xff"])
def test_what_is_no_manifest_is_refused(folder, text):
    (folder / "manifest.json").write_text(text, encoding="latin-1")
    with pytest.raises(UserError, match="not a bundle's manifest"):
        Bundle.open(folder)


def test_a_folder_that_is_no_bundle_is_refused(tmp_path):
    for path in (tmp_path, tmp_path / "nothing"):
        with pytest.raises(UserError, match="no such bundle"):
            Bundle.open(path)


def test_a_manifest_without_a_field_is_refused(folder):
    with pytest.raises(UserError, match="no field 'recipe'"):
        seal(folder, {k: v for k, v in MANIFEST.items() if k != "recipe"})


@pytest.mark.parametrize("name", ["../sources/tokenizer.json", "/etc/hostname"])
def test_a_manifest_cannot_point_outside_its_folder(folder, name):
    from components.base.artifacts import digest

    manifest = json.loads((folder / "manifest.json").read_text())
    del manifest["sha256"]
    manifest["files"][name] = {"sha256": "0", "bytes": 1}
    (folder / "manifest.json").write_text(json.dumps(manifest | {"sha256": digest(manifest)}))
    with pytest.raises(UserError, match="outside the bundle"):
        Bundle.open(folder)


def test_a_write_that_fails_leaves_the_former_bundle_and_nothing_else(folder):
    before = Bundle.open(folder).identity
    with pytest.raises(OSError, match="No space left"), writing(folder) as part:
        fill(part, scale=3.0)
        raise OSError(28, "No space left on device")
    assert Bundle.open(folder).identity == before
    assert sorted(p.name for p in folder.parent.iterdir()) == ["bundle", "sources"]


def test_a_write_replaces_the_former_bundle_whole(folder):
    before = Bundle.open(folder).identity
    (folder / "stray").write_text("old")
    with writing(folder) as part:
        fill(part, scale=3.0)
    after = Bundle.open(folder)
    assert after.identity != before and not (folder / "stray").exists()
    assert after.session("encoder")({"x": np.ones((1, 3), np.float32)})["y"][0, 0] == 3
    assert sorted(p.name for p in folder.parent.iterdir()) == ["bundle", "sources"]


def rewrite(folder, **changes):
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps(manifest | changes))

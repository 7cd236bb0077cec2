"""The exported graphs compute what torch computes, at other sizes too; int8 stays near; facts are measured."""

import json

import numpy as np
import pytest
import tiny_texts
import torch
from tiny_student import decoder_graph, encoder_graph, normalised, pictures, spec

import components.export.text_graph as text_graph
from components.base.errors import PipelineError
from components.encoders import text
from components.encoders.image import grid_encoder
from components.encoders.image import pixels as encoder_pixels
from components.export.bundle import Bundle, Session
from components.export.edge import export
from components.export.latency import measure
from components.export.onnx_graph import calibration, export_fp32, quantize
from components.export.parity import agreement, distance, feeds_of, parity, sizes_of, torch_outputs
from components.export.preprocess import pixels
from components.recipes.protocol import Graph
from components.serving.predictor import Predictor
from components.serving.text import TextEncoder


@pytest.fixture(scope="module")
def home(tmp_path_factory):
    """One state folder for the edge tests of a session: the text encoder is exported once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("FOVEATE_HOME", str(tmp_path_factory.getbasetemp() / "edge"))
        yield


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    """Both graphs of the small student: {name: (graph, fp32 path, int8 path)}."""
    folder = tmp_path_factory.mktemp("graphs")
    out = {}
    for graph in (encoder_graph(), decoder_graph()):
        fp32, int8 = folder / f"{graph.name}.fp32.onnx", folder / f"{graph.name}.int8.onnx"
        export_fp32(graph, fp32)
        quantize(graph, fp32, int8)
        out[graph.name] = graph, fp32, int8
    return out


@pytest.mark.parametrize("name", ["encoder", "decoder"])
def test_parity_at_sizes_the_graph_was_not_exported_with(exported, name):
    graph, fp32, _ = exported[name]
    found = parity(graph, Session(fp32))
    assert found["passed"], found
    assert found["max_rel"] <= 1e-5  # far inside the tolerance: nothing but the order of sums differs
    assert [run["sizes"]["batch"] for run in found["runs"]] == [1, 2, 5]
    if name == "decoder":
        assert [run["sizes"]["roles"] for run in found["runs"]] == [1, 3, 4]


def test_parity_finds_a_graph_that_computes_something_else(exported):
    _, fp32, _ = exported["encoder"]
    other = encoder_graph()
    with torch.no_grad():
        other.module.convs[2].weight.mul_(1.05)
    found = parity(other, Session(fp32))
    assert not found["passed"] and found["max_abs"] > 1e-3


def test_distance_takes_shape_and_nan_as_far_apart():
    a = np.ones((2, 3), np.float32)
    assert distance(a, a[:1])[0] == float("inf")
    assert distance(a, np.full_like(a, np.nan))[0] == float("inf")
    assert distance(np.array([-np.inf, 1.0]), np.array([-np.inf, 1.0])) == (0.0, 0.0)
    assert distance(np.array([10.0]), np.array([11.0])) == (1.0, 0.1)


def test_int8_points_where_fp32_points(exported):
    graph, fp32, int8 = exported["encoder"]
    close = agreement(Session(fp32), Session(int8), list(calibration(graph)))
    assert min(output["cosine"] for output in close.values()) > 0.98, close
    assert max(output["max_abs"] for output in close.values()) > 0  # it really is another graph
    graph, fp32, int8 = exported["decoder"]
    close = agreement(Session(fp32), Session(int8), [feeds_of(graph, sizes_of(graph, 3, 4))])
    assert close["noun"]["cosine"] > 0.999 and close["box"]["max_abs"] < 0.02, close
    assert int8.stat().st_size < fp32.stat().st_size


def test_int8_of_one_image_does_not_depend_on_its_batch(exported):
    graph, _, int8 = exported["decoder"]
    session, feeds = Session(int8), feeds_of(graph, sizes_of(graph, 4, 3))
    whole = session(feeds)["noun"]
    alone = session({name: array[1:2] for name, array in feeds.items()})["noun"]
    np.testing.assert_allclose(whole[1:2], alone, atol=1e-5)


def test_the_same_student_gives_the_same_bytes(exported, tmp_path):
    for graph, fp32, int8 in exported.values():
        export_fp32(graph, tmp_path / "again.onnx")
        quantize(graph, tmp_path / "again.onnx", tmp_path / "again8.onnx")
        assert (tmp_path / "again.onnx").read_bytes() == fp32.read_bytes()
        assert (tmp_path / "again8.onnx").read_bytes() == int8.read_bytes()
    assert b".py" not in fp32.read_bytes()  # no source paths in what ships


class Trunk(torch.nn.Module):
    """EfficientNet-Lite0's grid and a transformer layer over it: all operators that a student's encoder is made of."""

    def __init__(self):
        super().__init__()
        torch.manual_seed(0)
        self.grid, self.project = grid_encoder(), torch.nn.Sequential(torch.nn.LayerNorm(592), torch.nn.Linear(592, 64))
        self.layer = torch.nn.TransformerEncoderLayer(64, 2, 128, 0.0, "gelu", batch_first=True, norm_first=True)

    def forward(self, image):
        return self.layer(self.project(self.grid(image)))


def test_efficientnet_lite0_and_a_transformer_layer_survive_export_and_int8(tmp_path):
    images = normalised(pictures(4))
    graph = Graph("grid", Trunk(), (torch.from_numpy(images[:2]),), ("image",), ("tokens",),
                  {"image": {0: "batch"}}, "static", lambda: ({"image": images[i:i + 1]} for i in range(4)))
    export_fp32(graph, tmp_path / "f.onnx")
    quantize(graph, tmp_path / "f.onnx", tmp_path / "q.onnx")
    assert parity(graph, Session(tmp_path / "f.onnx"))["passed"]
    close = agreement(Session(tmp_path / "f.onnx"), Session(tmp_path / "q.onnx"), calibration(graph))
    assert close["tokens"]["cosine"] > 0.95, close
    assert (tmp_path / "q.onnx").stat().st_size < 0.35 * (tmp_path / "f.onnx").stat().st_size


def test_an_example_of_size_one_on_a_dynamic_axis_is_refused(tmp_path):
    graph = encoder_graph()
    one = Graph("encoder", graph.module, (graph.example[0][:1],), graph.inputs, graph.outputs, graph.dynamic)
    with pytest.raises(PipelineError, match="size 1 on dynamic axis 'batch'"):
        export_fp32(one, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_what_torch_cannot_express_names_the_graph(tmp_path):
    class Spectrum(torch.nn.Module):
        def forward(self, x):
            return torch.linalg.eigvals(x @ x.T).real

    graph = Graph("spectrum", Spectrum(), (torch.ones(2, 3),), ("x",), ("y",), {"x": {0: "batch"}})
    with pytest.raises(PipelineError, match="'spectrum' cannot be exported to ONNX: [^\n]+$"):
        export_fp32(graph, tmp_path / "x.onnx")
    assert not list(tmp_path.iterdir())


def test_static_int8_without_samples_is_refused(exported, tmp_path):
    graph, fp32, _ = exported["encoder"]
    bare = Graph(graph.name, graph.module, graph.example, graph.inputs, graph.outputs, graph.dynamic, "static", None)
    with pytest.raises(PipelineError, match="needs calibration samples"):
        quantize(bare, fp32, tmp_path / "q.onnx")
    assert not list(tmp_path.iterdir())


def test_device_preprocessing_is_the_training_preprocessing():
    images = pictures(3)
    ours = pixels(list(images), {"size": 192, "mean": 127.0, "std": 128.0})
    np.testing.assert_array_equal(ours, encoder_pixels(images).contiguous().numpy())
    wide = np.zeros((50, 300, 3), np.uint8)
    assert pixels([wide, images[0]], {"size": 192, "mean": 127.0, "std": 128.0}).shape == (2, 3, 192, 192)


def test_runtimes_take_turns():
    calls = []
    found = measure({name: lambda name=name: calls.append(name) for name in "ab"}, seconds=9, rounds=6)
    assert calls == ["a", "a", "b", "b"] * 6
    assert all(t["runs"] == 6 and t["p95_ms"] >= t["median_ms"] >= 0 for t in found.values())


def test_text_graph_embeds_as_torch_does_and_is_made_once(home):
    files, facts = text_graph.text_encoder()
    assert facts["cosine_min"] >= 0.99 and facts["megabytes"] < 26
    before = files["text.int8.onnx"].stat().st_mtime_ns
    assert text_graph.text_encoder() == (files, facts)
    assert files["text.int8.onnx"].stat().st_mtime_ns == before
    texts = ["a dog pulls a cart", "surfing", "Zürich – naïve café", "ironing a shirt", "word " * 300]
    embed = TextEncoder(files["text.int8.onnx"].parent)
    ours = embed(texts)
    assert (ours * text.embed(texts)).sum(1).min() > 0.99
    np.testing.assert_allclose(np.linalg.norm(ours, axis=1), 1, atol=1e-5)
    np.testing.assert_array_equal(ours[1], embed(["surfing"])[0])


def test_a_text_graph_that_strays_is_not_kept(tmp_path, monkeypatch):
    monkeypatch.setenv("FOVEATE_HOME", str(tmp_path / "home"))
    monkeypatch.setattr(text_graph, "FLOOR", 1.01)
    with pytest.raises(PipelineError, match="least cosine .* below 1.01"):
        text_graph.text_encoder(str(tiny_texts.make("bert", tmp_path / "bert")))
    assert not list((tmp_path / "home" / "store" / "text-graph").glob("*/facts.json"))


def test_export_measures_everything_and_seals_it(home, tmp_path):
    student, seen = spec(), []

    def evaluate(folder, precision):  # the share of plainly coloured pictures that get the verb of their colour
        seen.append(precision)
        red, blue = np.full((2, 40, 60, 3), 20, np.uint8)
        red[..., 0], blue[..., 2] = 250, 250
        found = Predictor(folder, precision).predict([red, blue])
        return np.mean([p["verbs"][0] == v for p, v in zip(found, ("burning", "swimming"), strict=True)])

    facts = export(student, tmp_path / "out" / "bundle", {"run": "test"}, seconds=0.4, evaluate=evaluate, threads=1)
    bundle = Bundle.open(tmp_path / "out" / "bundle")
    assert bundle.manifest["facts"] == json.loads(json.dumps(facts))
    assert seen == ["fp32", "int8"] and facts["details"]["int8"]["scores"]["fp32"] == 1.0
    assert facts["int8_loss"] == 1.0 - facts["details"]["int8"]["scores"]["int8"]
    assert 0 < facts["parity"] < 1e-4
    latency = facts["details"]["latency"]
    assert latency["threads"] == 1
    assert set(latency["graphs"]["encoder"]["batch_4"]) == {"torch", "fp32", "int8"}
    assert facts["latency_ms"] == latency["image"]["int8"]["median_ms"] > 0
    shipped = sum(f.stat().st_size for f in bundle.folder.rglob("*")
                  if f.is_file() and "fp32" not in f.name and f.name not in ("manifest.json", "MODEL_CARD.md"))
    assert facts["size_mb"] == pytest.approx(shipped / 1e6, abs=0.01)
    assert {p.name for p in bundle.folder.iterdir()} == {
        "manifest.json", "MODEL_CARD.md", "encoder.fp32.onnx", "encoder.int8.onnx", "decoder.fp32.onnx",
        "decoder.int8.onnx", "tables.safetensors", "vocabulary.json", "text"}
    assert bundle.manifest["graphs"]["decoder"]["inputs"]["roles"] == ["batch", "roles", 384]
    np.testing.assert_array_equal(bundle.tables()["verbs"], student.tables["verbs"])
    assert bundle.vocabulary() == student.vocabulary
    card = (bundle.folder / "MODEL_CARD.md").read_text()
    assert f"{facts['size_mb']:.1f} MB" in card and "6 verbs" in card and "3 common" in card and "- run: `test`" in card
    assert [p.name for p in (tmp_path / "out").iterdir()] == ["bundle"]


def test_a_failed_export_leaves_the_former_bundle(home, tmp_path):
    (tmp_path / "bundle").mkdir()
    (tmp_path / "bundle" / "kept").write_text("the former one")
    student = spec()
    wrong = type(student)(student.recipe, (Graph("encoder", *[getattr(student.graphs[0], f) for f in (
        "module", "example", "inputs", "outputs", "dynamic")], quantize="ternary"),), student.tables,
        student.vocabulary, student.decoding, student.preprocessing)
    with pytest.raises(PipelineError, match="'ternary'"):
        export(wrong, tmp_path / "bundle", {}, seconds=0.4)
    assert [p.name for p in tmp_path.iterdir()] == ["bundle"]
    assert [p.name for p in (tmp_path / "bundle").iterdir()] == ["kept"]


def test_torch_outputs_take_a_single_tensor():
    graph = Graph("one", torch.nn.Linear(3, 2), (torch.ones(2, 3),), ("x",), ("y",), {"x": {0: "batch"}})
    assert torch_outputs(graph, {"x": np.ones((4, 3), np.float32)})["y"].shape == (4, 2)

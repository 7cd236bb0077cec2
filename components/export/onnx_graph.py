"""One torch network to ONNX: float32 by tracing, then int8, the same bytes every time."""

import contextlib
import io
import logging
import warnings
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxruntime.quantization import CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static
from onnxruntime.quantization.matmul_nbits_quantizer import MatMulNBitsQuantizer
from onnxruntime.quantization.shape_inference import quant_pre_process

from components.base.errors import PipelineError
from components.recipes.protocol import Graph

OPSET = 20
# What runs in int8 under "static": convolutions and products with what joins them, so that a chain of blocks stays in
# int8. Softmax, LayerNorm, resizing and the arithmetic of attention and boxes stay in float: they are a percent of the
# time and most of the error.
STATIC_OPS = ("Conv", "Gemm", "MatMul", "Clip", "Relu", "Add")
BLOCK = 32  # rows of a weight matrix that share a scale under "dynamic"


def export_fp32(graph: Graph, out: Path) -> None:
    """Writes `graph` as ONNX with its dynamic axes and names; of a branch on a value, the side that the example takes.

    `graph.example` must have sizes other than 0 and 1 on dynamic axes: those are often constants by chance.
    Raises PipelineError naming the graph when torch cannot express it.
    """
    for name, tensor in zip(graph.inputs, graph.example, strict=True):
        for axis, label in graph.dynamic.get(name, {}).items():
            if tensor.shape[axis] < 2:
                raise PipelineError(f"graph '{graph.name}': example input '{name}' has size {tensor.shape[axis]} on "
                                    f"dynamic axis '{label}'; give an example of size 2 or more")
    module = graph.module.eval()
    written = io.BytesIO()
    with quiet(), torch.no_grad(), _plain_attention():
        try:
            # Traced once, not through torch.export, which takes far longer to give the same graph. What a trace
            # could freeze by mistake, such as a size, shows in the parity check at sizes it was not traced with.
            torch.onnx.export(module, graph.example, written, dynamo=False, dynamic_axes=graph.dynamic, verbose=False,
                              input_names=list(graph.inputs), output_names=list(graph.outputs), opset_version=OPSET)
            model = onnx.load_from_string(written.getvalue())
            onnx.checker.check_model(model)  # an output may share its name with an inner value
        except Exception as error:
            raise PipelineError(f"graph '{graph.name}' cannot be exported to ONNX: {_root(error)}") from error
    onnx.save(_without_traces(model, graph), out)


@contextlib.contextmanager
def _plain_attention() -> Iterator[None]:
    """Torch's fused transformer layer, taken in eval mode, has no ONNX form; without it all operators are plain."""
    before = torch.backends.mha.get_fastpath_enabled()
    torch.backends.mha.set_fastpath_enabled(False)
    try:
        yield
    finally:
        torch.backends.mha.set_fastpath_enabled(before)


def _root(error: BaseException) -> str:
    """The first line of what set off a chain of errors; the exporter wraps it in pages of advice."""
    while error.__cause__ is not None:
        error = error.__cause__
    return f"{type(error).__name__}: {(str(error).strip() or 'no message').splitlines()[0]}"


def quantize(graph: Graph, fp32: Path, out: Path) -> None:
    """Writes the int8 form of an exported graph.

    "static" (convolutions): QDQ; unsigned activations with signed weights per channel, which is the pair that x86 and
    ARM kernels have; ranges from `graph.calibration`, real samples. Without the VNNI instructions that pair saturates
    16-bit sums on x86, so weights then keep 7 bits. "dynamic" (transformers): see `_dynamic`.
    """
    if graph.quantize == "dynamic":
        _dynamic(fp32, out)
        return
    prepared = out.with_suffix(".prepared.onnx")
    try:
        with quiet():
            quant_pre_process(fp32, prepared, skip_symbolic_shape=True)
            quantize_static(prepared, out, _Reader(graph), quant_format=QuantFormat.QDQ, per_channel=True,
                            op_types_to_quantize=list(STATIC_OPS), nodes_to_exclude=_float_nodes(prepared),
                            activation_type=QuantType.QUInt8, weight_type=QuantType.QInt8, reduce_range=not has_vnni(),
                            extra_options={"QuantizeBias": True})
    finally:
        prepared.unlink(missing_ok=True)


def _dynamic(fp32: Path, out: Path) -> None:
    """Int8 weights in blocks of 32, activations to int8 at run time block by block; embedding tables int8.

    One scale for a whole activation tensor (ONNX Runtime's usual dynamic form) costs a sentence encoder up to .03 of
    cosine and makes a row depend on its batch; a scale per block costs .002, does not, and is faster.
    """
    with quiet():
        quantize_dynamic(fp32, out, op_types_to_quantize=["Gather"], weight_type=QuantType.QInt8)
        quantizer = MatMulNBitsQuantizer(onnx.load(out), bits=8, block_size=BLOCK, is_symmetric=True, accuracy_level=4)
        quantizer.process()
    onnx.save(quantizer.model.model, out)


def _float_nodes(path: Path) -> list[str]:
    """Nodes kept in float: products of two activations (attention), and additions outside chains of convolutions."""
    model = onnx.load(path)
    constants = {i.name for i in model.graph.initializer}
    made_by = {output: node.op_type for node in model.graph.node for output in node.output}
    convolutional = {"Conv", "Add", "Clip", "Relu"}
    keep = []
    for node in model.graph.node:
        if node.op_type in ("MatMul", "Gemm") and not constants & set(node.input[:2]):
            keep.append(node.name)
        if node.op_type == "Add" and not all(made_by.get(i) in convolutional for i in node.input):
            keep.append(node.name)
    return keep


class _Reader(CalibrationDataReader):
    """Feeds a graph's calibration samples to ONNX Runtime."""

    def __init__(self, graph: Graph):
        self._feeds = iter(calibration(graph))

    def get_next(self) -> dict[str, np.ndarray] | None:
        return next(self._feeds, None)


def calibration(graph: Graph, at_most: int | None = None) -> list[dict[str, np.ndarray]]:
    """The graph's calibration samples (the first `at_most`), as a list that can be read more than once.

    `graph.calibration` is a function returning an iterator, or a sequence. Raises PipelineError when there is none.
    """
    source = graph.calibration() if callable(graph.calibration) else graph.calibration
    feeds = list(islice(source or (), at_most))
    if not feeds:
        raise PipelineError(f"graph '{graph.name}': static int8 needs calibration samples and got none")
    return feeds


def has_vnni() -> bool:
    """Whether this machine multiplies int8 without intermediate saturation (VNNI on x86; other processors do)."""
    try:
        flags = Path("/proc/cpuinfo").read_text()
    except OSError:
        return False
    return "vnni" in flags or "flags" not in flags  # ARM kernels list "Features"


def _without_traces(model: onnx.ModelProto, graph: Graph) -> onnx.ModelProto:
    """Drops what the exporter writes beside the graph: stack traces and source paths, which name the machine, and
    shapes of inner values, which runtimes infer and which contradict the graph once a quantiser transposes a weight.
    """
    del model.metadata_props[:]
    model.graph.name, model.doc_string, model.producer_name = graph.name, "", "foveate"
    del model.graph.metadata_props[:]
    del model.graph.value_info[:]
    for part in (*model.graph.node, *model.graph.input, *model.graph.output, *model.graph.initializer):
        del part.metadata_props[:]
        part.doc_string = ""
    return model


@contextlib.contextmanager
def quiet() -> Iterator[None]:
    """Keeps the exporter's and quantiser's chatter from the console for the time of a call; errors still raise."""
    before = logging.root.manager.disable
    logging.disable(logging.WARNING)
    try:
        with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()), \
                contextlib.redirect_stderr(io.StringIO()):
            warnings.simplefilter("ignore")
            yield
    finally:
        logging.disable(before)

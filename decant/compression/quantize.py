"""8-bit weights, with activations quantised at run time (ONNX Runtime dynamic quantisation)."""

import tempfile
from pathlib import Path

import onnx
from onnxruntime.quantization import QuantType, quantize_dynamic
from onnxruntime.quantization.shape_inference import quant_pre_process

from decant.compression.onnx_passes import share_table, shorten_names
from decant.models.export import strip

QUANTISED = ["MatMul", "Gemm", "Gather"]
EXPERTS, WIDE = ".experts.", ".right"  # names of weights: of experts, and their only large one


def quantize_int8(source: Path, destination: Path) -> None:
    """Write an int8 version of the graph `source`: matrix products and the shared item table.

    Weights use 7 of the 8 bits. Processors without VNNI add two 8-bit products in 16 bits, where
    255 · 127 · 2 saturates, so that they would give other results than those measured; 255 · 64 · 2
    does not.
    """
    with tempfile.TemporaryDirectory() as folder:
        folded, quantised = Path(folder) / "folded.onnx", Path(folder) / "int8.onnx"
        quant_pre_process(source, folded, skip_symbolic_shape=True)
        quantize_dynamic(
            folded,
            quantised,
            op_types_to_quantize=QUANTISED,
            weight_type=QuantType.QInt8,
            nodes_to_exclude=gate_nodes(onnx.load(folded)),
            per_channel=True,
            reduce_range=True,
        )
        onnx.save(shorten_names(strip(share_table(onnx.load(quantised)))), destination)


def gate_nodes(graph: onnx.ModelProto) -> list[str]:
    """Names of the nodes that read small weights of experts: their gates stay exact.

    The quantiser splits a `Gemm` before it looks at names.
    """
    nodes = [
        node.name
        for node in graph.graph.node
        if any(EXPERTS in name and not name.endswith(WIDE) for name in node.input)
    ]
    return [*nodes, *(f"{name}_MatMul" for name in nodes)]

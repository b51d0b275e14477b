"""8-bit weights: integers with a scale for each row or column, turned into floats once, on loading.

Products are computed in float32: those of integers need the activations in 8 bits too, which costs
quality, and for a single request more time than it saves. Only where the floats of an item table
would not fit into a processor's cache, integers are read and multiplied.
"""

from pathlib import Path

import numpy as np
import onnx
from onnx import GraphProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from decant.compression.onnx_passes import shorten_names
from decant.models.export import EXACT, strip

LARGEST = 127  # integer of the largest weight of a row or column
LARGE = 2_500_000  # numbers of a matrix whose products are of integers
# Processors without VNNI add two 8-bit products in 16 bits, where 255 · 127 · 2 saturates, so that
# they would give other results than those measured; 255 · 64 · 2 does not.
UNSATURATED = 64
NODES = 200  # bytes of the two nodes that turn integers into floats
READ = {"Gather": 0, "MatMul": 1, "Gemm": 1}  # operator -> the input that may be a matrix


def quantize_int8(source: Path, destination: Path) -> None:
    """Write an int8 version of the graph `source`: the weights of products and of tables."""
    onnx.save(shorten_names(strip(store_integers(onnx.load(source)))), destination)


def store_integers(model: ModelProto) -> ModelProto:
    """Replace float weights by integers and scales, in place, where that takes fewer bytes.

    A table that is tied between input and output is stored once, with a scale for each item.
    """
    graph = model.graph
    values = {weight.name: numpy_helper.to_array(weight) for weight in graph.initializer}
    along = scaled_along(graph, values)
    tied = tied_tables(along, values)
    large = {name for name in along if values[name].size > LARGE}
    stored, first = [], []
    for weight in graph.initializer:
        name = weight.name
        if name in tied:
            if name not in large:
                first.append(helper.make_node("Transpose", [tied[name]], [name], perm=[1, 0]))
        elif name in along and saves(values[name], along[name]):
            largest = UNSATURATED if name in large else LARGEST
            integers, scale = quantised(values[name], along[name], largest)
            stored.append(numpy_helper.from_array(integers, f"{name}.integers"))
            stored.append(numpy_helper.from_array(scale, f"{name}.scale"))
            if name not in large:
                first = [*floats(name), *first]
        else:
            stored.append(weight)
    del graph.initializer[:]
    graph.initializer.extend(stored)
    nodes = [made for node in graph.node for made in with_integers(node, large, along, tied)]
    del graph.node[:]
    graph.node.extend([*first, *nodes])
    return model


def with_integers(
    node: NodeProto, large: set[str], along: dict[str, int], tied: dict[str, str]
) -> list[NodeProto]:
    """The nodes that take the place of one that reads a large matrix."""
    place = READ.get(node.op_type)
    name = "" if place is None else node.input[place]
    if name not in large:
        return [node]
    table, out = tied.get(name, name), node.output[0]
    make = helper.make_node
    if node.op_type == "Gather":
        return [
            make("Gather", [f"{table}.integers", node.input[1]], [f"{out}.integers"]),
            make("Cast", [f"{out}.integers"], [f"{out}.whole"], to=TensorProto.FLOAT),
            make("Gather", [f"{table}.scale", node.input[1]], [f"{out}.scale"]),
            make("Mul", [f"{out}.whole", f"{out}.scale"], [out]),
        ]
    matrix, scale, nodes = f"{table}.integers", f"{table}.scale", list[NodeProto]()
    if along[table] == 1:  # rows are outputs
        for whole in (matrix, scale):
            nodes.append(make("Transpose", [whole], [f"{out}.{whole}"], perm=[1, 0]))
        matrix, scale = f"{out}.{matrix}", f"{out}.{scale}"
    bias = list(node.input[2:])
    parts = [f"{out}.{part}" for part in ("integers", "step", "zero", "sum", "floats", "steps")]
    integers, step, zero, total, whole, steps = parts
    return [
        *nodes,
        make("DynamicQuantizeLinear", [node.input[0]], [integers, step, zero]),
        make("MatMulInteger", [integers, matrix, zero], [total]),
        make("Cast", [total], [whole], to=TensorProto.FLOAT),
        make("Mul", [step, scale], [steps]),
        make("Mul", [whole, steps], [f"{out}.product" if bias else out]),
        *([make("Add", [f"{out}.product", *bias], [out])] if bias else []),
    ]


def scaled_along(graph: GraphProto, values: dict[str, np.ndarray]) -> dict[str, int]:
    """The axis along which each float matrix has one scale: 1, one for each row, if its rows are
    looked up or are outputs of a product, else 0."""
    axes: dict[str, int] = {}
    for node in graph.node:
        place = READ.get(node.op_type)
        name = "" if place is None else node.input[place]
        matrix = values.get(name)
        if matrix is None or matrix.ndim != 2 or matrix.dtype != np.float32 or name.endswith(EXACT):
            continue
        rows = node.op_type == "Gather" or any(a.name == "transB" and a.i for a in node.attribute)
        axes.setdefault(name, int(rows))
    return axes


def tied_tables(along: dict[str, int], values: dict[str, np.ndarray]) -> dict[str, str]:
    """Matrices that are the transpose of a table whose rows are looked up → that table."""
    tables = [name for name, axis in along.items() if axis == 1]
    return {
        name: table
        for name, axis in along.items()
        for table in tables
        if axis == 0 and np.array_equal(values[name], values[table].T)
    }


def saves(matrix: np.ndarray, axis: int) -> bool:
    """Whether integers and scales take fewer bytes than floats."""
    scales = matrix.shape[1 - axis]
    return matrix.size + scales * matrix.itemsize + NODES < matrix.nbytes


def quantised(matrix: np.ndarray, axis: int, largest: int) -> tuple[np.ndarray, np.ndarray]:
    """Integers int8 of a matrix, at most `largest`, and the scale of each row or column."""
    scale = np.abs(matrix).max(axis=axis, keepdims=True) / largest
    scale = np.where(scale == 0, 1, scale).astype(np.float32)
    return np.rint(matrix / scale).astype(np.int8), scale


def floats(name: str) -> list[NodeProto]:
    """Nodes that compute a weight from its integers and scale; the runtime does so on loading."""
    return [
        helper.make_node("Cast", [f"{name}.integers"], [f"{name}.whole"], to=TensorProto.FLOAT),
        helper.make_node("Mul", [f"{name}.whole", f"{name}.scale"], [name]),
    ]

"""Export models as ONNX graphs, with reproducible bytes."""

import logging
import warnings
from pathlib import Path

import numpy as np
import onnx
import torch
from onnxscript import ir
from onnxscript.optimizer import optimize_ir
from torch import Tensor, nn

from decant.models.bundle import MAX_LENGTH
from decant.models.recommender import Recommender

OPSET = 18
SCORES = "scores"
ATTRIBUTES = "attributes"
# weights of gates: few, and of signals with very different scales
EXACT = ("experts.inner", "experts.outer")
NARROW = (ir.DataType.UINT8, ir.DataType.INT8, ir.DataType.INT16)


class _Served(nn.Module):
    """A recommender with its item table computed once, and positional inputs."""

    item_table: Tensor

    def __init__(self, model: Recommender) -> None:
        super().__init__()
        self.model, self.names = model, input_names(model)
        self.register_buffer("item_table", model.item_embeddings().detach().clone())

    def forward(self, *arrays: Tensor) -> Tensor:
        batch = dict(zip(self.names, arrays, strict=True))
        states = self.model.encode(batch, self.item_table, last=True)[:, 0]
        return self.model.with_experts(self.model.scores(states, self.item_table), batch)


def input_names(model: Recommender) -> tuple[str, ...]:
    """Names of the graph's inputs: int64 [B, T] per event input, `attributes` [B, A] if read."""
    reads_attributes = len(model.attributes) > 0
    return (*model.architecture.request_inputs, *((ATTRIBUTES,) if reads_attributes else ()))


def export_onnx(model: Recommender, path: Path, longest: int | None = None) -> None:
    """Write the graph of `model`: scores [B, N + 1] of every item after the last position.

    If the model reads fewer events than `longest`, the maximum of a request, its metadata contain
    that number, see `runtime.session`.

    Batch size and length are dynamic. Content vectors are merged into the item table. Metadata of
    the exporter (names of source files, stack traces) are removed, as they depend on the folder.
    """
    served = _Served(model.cpu().eval())
    a = model.architecture
    arrays = [torch.ones(2, a.max_length, dtype=torch.int64) for _ in a.request_inputs]
    shapes: list[dict[int, object]] = [
        {0: torch.export.Dim("batch"), 1: torch.export.Dim("length", max=a.max_length)}
        for _ in arrays
    ]
    if ATTRIBUTES in served.names:
        arrays.append(torch.zeros(2, len(a.attribute_sizes), dtype=torch.int64))
        shapes.append({0: shapes[0][0]})
    shared = [{0: shapes[0][0], **({1: shapes[0][1]} if 1 in s else {})} for s in shapes]
    for library in ("torch.onnx", "onnxscript"):
        logging.getLogger(library).setLevel(logging.ERROR)
    with warnings.catch_warnings(), torch.no_grad():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(
            served,
            tuple(arrays),
            dynamo=True,
            opset_version=OPSET,
            input_names=list(served.names),
            output_names=[SCORES],
            dynamic_shapes=(tuple(shared),),
            verbose=False,
            optimize=False,
        )
    assert program is not None
    optimize_ir(program.model, should_fold=_stays_large)
    graph = strip(constant_shapes(program.model_proto))
    if longest is not None and a.max_length < longest:
        graph.metadata_props.add(key=MAX_LENGTH, value=str(a.max_length))
    onnx.save(graph, path)


def _stays_large(node: ir.Node) -> bool | None:
    """False for a cast of integers in one or two bytes, which tables are stored as: the session
    computes it on loading, the file stays small. False for what is computed from weights that must
    stay exact: they are known by their names. None leaves the decision to the optimiser."""
    given = [value for value in node.inputs if value is not None]
    narrow = node.op_type == "Cast" and given[0].dtype in NARROW
    return False if narrow or any((value.name or "").endswith(EXACT) for value in given) else None


def constant_shapes(model: onnx.ModelProto) -> onnx.ModelProto:
    """Replace computed shapes by constants, in place, where the graph's annotations allow it: 0 for
    a size that stays, -1 for at most one other.

    The exporter computes each from batch size and length, which takes a small model as long as a
    layer.
    """
    graph = model.graph
    shapes = {v.name: _sizes(v) for v in (*graph.value_info, *graph.input, *graph.output)}
    made = {name for node in graph.node for name in node.output}
    for node in graph.node:
        if node.op_type != "Reshape" or node.input[1] not in made:
            continue
        before, after = shapes.get(node.input[0], []), shapes.get(node.output[0], [])
        sizes = [_size(size, place, before) for place, size in enumerate(after)]
        if sizes and sizes.count(-1) <= 1:
            node.input[1] = f"{node.output[0]}.shape"
            del node.attribute[:]  # `allowzero`
            constant = onnx.numpy_helper.from_array(np.array(sizes, np.int64), node.input[1])
            graph.initializer.append(constant)
    used = {value.name for value in graph.output}
    kept = []
    for node in reversed(graph.node):
        if used.intersection(node.output):
            kept.append(node)
            used.update(node.input)
    del graph.node[:]
    graph.node.extend(reversed(kept))
    weights = [weight for weight in graph.initializer if weight.name in used]
    del graph.initializer[:]
    graph.initializer.extend(weights)
    return model


def _sizes(value: onnx.ValueInfoProto) -> list[int | str | None]:
    """A value's shape; sizes that depend on the request by name, None if unknown."""
    return [d.dim_param or d.dim_value or None for d in value.type.tensor_type.shape.dim]


def _size(size: int | str | None, place: int, before: list[int | str | None]) -> int:
    if isinstance(size, int):
        return size
    return 0 if size and place < len(before) and before[place] == size else -1


def strip(graph: onnx.ModelProto) -> onnx.ModelProto:
    """Remove metadata, documentation and value annotations; `MAX_LENGTH` stays."""
    graph.producer_version = ""
    own = [prop for prop in graph.metadata_props if prop.key == MAX_LENGTH]
    del graph.metadata_props[:]
    graph.metadata_props.extend(own)
    for function in (graph.graph, *graph.functions):
        function.doc_string = ""
        del function.metadata_props[:]
        del function.value_info[:]
        for node in function.node:
            node.doc_string = ""
            del node.metadata_props[:]
    for value in (*graph.graph.input, *graph.graph.output, *graph.graph.initializer):
        value.doc_string = ""
        del value.metadata_props[:]
    return graph

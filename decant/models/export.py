"""Export models as ONNX graphs, with reproducible bytes."""

import logging
import warnings
from pathlib import Path

import onnx
import torch
from torch import Tensor, nn

from decant.models.bundle import MAX_LENGTH
from decant.models.recommender import Recommender

OPSET = 18
SCORES = "scores"
ATTRIBUTES = "attributes"


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
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
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
        )
    assert program is not None
    graph = strip(program.model_proto)
    if longest is not None and a.max_length < longest:
        graph.metadata_props.add(key=MAX_LENGTH, value=str(a.max_length))
    onnx.save(graph, path)


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

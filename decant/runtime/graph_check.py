"""Check that an ONNX graph uses only what exported recommenders need.

A graph is a program, and ONNX allows more than a recommender needs: external files, loops, custom
operators. The lists here name the allowed fields of the format, attribute types, operators and
data types; a test compares them with exports of every kind of model. Sizes inside the graph depend
only on the length of the request, so trying all lengths bounds the cost.
"""

import math
import re
from typing import Any

from google.protobuf.message import DecodeError, Message
from google.protobuf.unknown_fields import UnknownFieldSet
from onnx import (
    AttributeProto,
    GraphProto,
    ModelProto,
    NodeProto,
    TensorProto,
    ValueInfoProto,
)

from decant.models.bundle import MAX_LENGTH, BundleError

OPSET = 18
IR_VERSIONS = range(8, 14)
MOST_BYTES = 2**31 - 1  # limit of the format for one file
MOST_PARTS = 20_000  # nodes, or weights; the maximum of 64 layers has a third of that
MOST_DIMENSIONS = 8
LONGEST = 100_000  # events
_NUMBER = re.compile(r"[0-9]{1,6}")
SHOWN = 60  # characters of a name in a message
FORMER = {  # operators of graphs of large catalogues, or that earlier versions wrote
    *("DequantizeLinear", "DynamicQuantizeLinear", "Expand", "GatherND", "MatMulInteger", "Max"),
}
OPERATORS = {
    *("Add", "Cast", "Clip", "Concat", "Div", "Equal", "Exp", "Gather"),
    *("GatherElements", "Gemm", "Greater", "GreaterOrEqual", "LayerNormalization", "Less", "Log"),
    *("MatMul", "Min", "Mul", "Pad", "Range", "ReduceMax", "ReduceMin", "ReduceSum", "Relu"),
    *("Reshape", "ScatterElements", "Shape", "Sign", "Slice", "Softmax", "Split", "Sqrt"),
    *("Squeeze", "Sub", "Transpose", "Unsqueeze", "Where", *FORMER),
}
SIZING = {  # operator -> inputs whose values determine the shape of its output
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "Pad": (1, 3),
    "Expand": (1,),
    "ReduceMax": (1,),
    "ReduceMin": (1,),
    "ReduceSum": (1,),
    "Squeeze": (1,),
    "Unsqueeze": (1,),
}
ATTRIBUTES: dict[int, str] = {
    AttributeProto.FLOAT: "f",
    AttributeProto.INT: "i",
    AttributeProto.STRING: "s",
    AttributeProto.INTS: "ints",
}
WIDTHS: dict[int, int] = {
    TensorProto.FLOAT: 4,
    TensorProto.UINT8: 1,
    TensorProto.INT8: 1,
    TensorProto.INT16: 2,
    TensorProto.INT32: 4,
    TensorProto.INT64: 8,
}
NUMBERS: dict[int, str] = {  # data type -> the field that may hold its numbers
    TensorProto.FLOAT: "float_data",
    TensorProto.UINT8: "int32_data",
    TensorProto.INT8: "int32_data",
    TensorProto.INT16: "int32_data",
    TensorProto.INT32: "int32_data",
    TensorProto.INT64: "int64_data",
}
# Message -> the fields that may be set; empty values of other fields are allowed.
FIELDS = {
    "ModelProto": {
        *("ir_version", "opset_import", "producer_name", "producer_version", "graph"),
        "metadata_props",
    },
    "StringStringEntryProto": {"key", "value"},
    "OperatorSetIdProto": {"domain", "version"},
    "GraphProto": {"node", "name", "initializer", "input", "output"},
    "NodeProto": {"input", "output", "name", "op_type", "attribute"},
    "AttributeProto": {"name", "type", *ATTRIBUTES.values()},
    "TensorProto": {"dims", "data_type", "name", "raw_data", *NUMBERS.values()},
    "ValueInfoProto": {"name", "type"},
    "TypeProto": {"tensor_type"},
    "Tensor": {"elem_type", "shape"},
    "TensorShapeProto": {"dim"},
    "Dimension": {"dim_value", "dim_param"},
}


def check_graph(content: bytes) -> None:
    """Check a graph against the lists of this module.

    Raises:
        BundleError: the graph is not allowed; the message names the operator or the tensor.
    """
    if len(content) > MOST_BYTES:
        raise BundleError(f"the graph has {len(content)} bytes, more than {MOST_BYTES}")
    try:
        model = ModelProto.FromString(content)
    except DecodeError as error:
        raise BundleError(f"not a valid model: {_line(error)}") from None
    _check_fields(model, "the model")
    _check_versions(model)
    read_max_length(model)
    graph = model.graph
    _check_fields(graph, "the graph")
    for what, parts in (("operators", graph.node), ("tensors", graph.initializer)):
        if len(parts) > MOST_PARTS:
            raise BundleError(f"the graph has {len(parts)} {what}, more than {MOST_PARTS}")
    for tensor in graph.initializer:
        _check_tensor(tensor)
    for node in graph.node:
        _check_node(node)
    _check_sizes(graph)
    if not graph.node or not graph.input or len(graph.output) != 1:
        raise BundleError("a graph needs operators, inputs and exactly one output")
    for value in graph.input:
        _check_value(value, TensorProto.INT64)
    _check_value(graph.output[0], TensorProto.FLOAT)


def read_max_length(model: ModelProto) -> int | None:
    """Maximum number of events that a graph reads, from its metadata; None: all of a request.

    Raises:
        BundleError: the number is invalid, or there are other metadata.
    """
    for entry in model.metadata_props:
        if entry.key != MAX_LENGTH or len(model.metadata_props) > 1:
            raise BundleError(f"the model has metadata other than one `{MAX_LENGTH}`")
        if not _NUMBER.fullmatch(entry.value) or not 1 <= int(entry.value) <= LONGEST:
            raise BundleError(f"`{MAX_LENGTH}` of the model is not a number from 1 to {LONGEST}")
        return int(entry.value)
    return None


def _check_versions(model: ModelProto) -> None:
    """Check the versions; imports of other domains, written by the quantiser, have no effect."""
    opsets = [entry.version for entry in model.opset_import if not entry.domain]
    if opsets != [OPSET]:
        raise BundleError(f"the model has operator set {opsets}; expected {OPSET}")
    if model.ir_version not in IR_VERSIONS:
        known = f"{IR_VERSIONS[0]} to {IR_VERSIONS[-1]}"
        raise BundleError(f"the model has format version {model.ir_version}; expected {known}")


def _check_node(node: NodeProto) -> None:
    where = _described(node)
    _check_fields(node, where)
    if node.op_type not in OPERATORS:
        raise BundleError(f"{where} is not in the list of allowed operators")
    for attribute in node.attribute:
        place = f"attribute `{_name(attribute.name)}` of {where}"
        _check_fields(attribute, place)
        if attribute.type not in ATTRIBUTES:
            kind = _kind(AttributeProto.AttributeType, attribute.type)
            raise BundleError(f"{place} holds {kind}, which is not allowed")


def _check_sizes(graph: GraphProto) -> None:
    """Reject sizes that depend on the values of a request, not only on its shape."""
    known = {"", *(weight.name for weight in graph.initializer)}
    known -= {value.name for value in graph.input}
    for node in graph.node:
        for place in SIZING.get(node.op_type, ()):
            if place < len(node.input) and node.input[place] not in known:
                raise BundleError(f"{_described(node)} computes a size from values of the request")
        if node.op_type == "Shape" or known.issuperset(node.input):
            known.update(node.output)


def _described(node: NodeProto) -> str:
    return f"operator `{_name(node.op_type)}` (output {_name(', '.join(node.output))})"


def _check_tensor(tensor: TensorProto) -> None:
    """Check that a weight is in the file, has an allowed type and the size of its shape."""
    where = f"tensor `{_name(tensor.name)}`"
    _check_fields(tensor, where)
    if tensor.data_type not in WIDTHS:
        kind = _kind(TensorProto.DataType, tensor.data_type)
        raise BundleError(f"{where} is of type {kind}, which is not allowed")
    dims = list(tensor.dims)
    if len(dims) > MOST_DIMENSIONS or min(dims, default=0) < 0:
        raise BundleError(f"{where} has an invalid shape {dims[: MOST_DIMENSIONS + 1]}")
    expected = math.prod(dims)
    held = {name: len(getattr(tensor, name)) for name in {*NUMBERS.values()}}
    of_type, width = NUMBERS[tensor.data_type], WIDTHS[tensor.data_type]
    count = held.pop(of_type) + len(tensor.raw_data) / width
    if count != expected or any(held.values()):
        raise BundleError(f"{where} holds {count:g} numbers; its shape {dims} requires {expected}")


def _check_value(value: ValueInfoProto, kind: int) -> None:
    where = f"value `{_name(value.name)}`"
    _check_fields(value, where)
    if value.type.tensor_type.elem_type != kind:
        known = _kind(TensorProto.DataType, kind)
        raise BundleError(f"{where} is not a tensor of type {known}")


def _check_fields(message: Message, where: str) -> None:
    """Reject fields that are not in `FIELDS`; named parts are checked by their own functions.

    Raises:
        BundleError: a field is not allowed, or unknown in this version of the format.
    """
    kind = message.DESCRIPTOR
    allowed = FIELDS[kind.name]
    for field in kind.fields:
        if field.name not in allowed and _is_set(message, field):
            raise BundleError(f"{where} has `{field.name}`, which is not allowed")
    if len(UnknownFieldSet(message)):
        raise BundleError(f"{where} has unknown fields")
    for part in _parts(message):
        _check_fields(part, where)


def _parts(message: Message) -> list[Message]:
    """The unnamed messages inside a message."""
    if isinstance(message, ModelProto):
        return list(message.opset_import)
    inside = {"ValueInfoProto": "type", "TypeProto": "tensor_type", "Tensor": "shape"}
    kind = message.DESCRIPTOR.name
    if kind == "TensorShapeProto":
        return list(message.dim)  # type: ignore[attr-defined]
    return [getattr(message, inside[kind])] if kind in inside else []


def _is_set(message: Message, field: Any) -> bool:
    if field.message_type is not None and not field.is_repeated:
        return message.HasField(field.name)
    return bool(getattr(message, field.name))


def _kind(kinds: Any, number: int) -> str:
    return str(kinds.Name(number)) if number in kinds.values() else f"number {number}"


def _name(given: str) -> str:
    """A name from the graph, made printable and short."""
    shown = "".join(mark if mark.isprintable() else "?" for mark in given[: SHOWN + 1])
    return shown if len(shown) <= SHOWN else shown[:SHOWN] + "…"


def _line(error: Exception) -> str:
    return " ".join(str(error).split())

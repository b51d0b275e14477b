"""Passes that shrink a quantised ONNX graph: a shared item table, short names."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper


def shorten_names(model: ModelProto) -> ModelProto:
    """Rename all values except the graph's inputs and outputs to numbers; remove node names.

    A graph with subgraphs, which may use its values, is left unchanged.
    """
    graph = model.graph
    kinds = (attribute.type for node in graph.node for attribute in node.attribute)
    if {AttributeProto.GRAPH, AttributeProto.GRAPHS} & set(kinds):
        return model
    kept = {value.name for value in (*graph.input, *graph.output)} | {""}  # "": an omitted input
    weights = [weight.name for weight in graph.initializer]
    made = [name for node in graph.node for name in node.output]
    short = numbered([*weights, *made], kept)
    for weight in graph.initializer:
        weight.name = short[weight.name]
    for node in graph.node:
        node.name = ""
        node.input[:] = [short[name] for name in node.input]
        node.output[:] = [short[name] for name in node.output]
    del graph.value_info[:]
    return model


def numbered(names: Iterable[str], kept: set[str]) -> dict[str, str]:
    """A number for each name, in order; names in `kept` stay."""
    short, free = {name: name for name in kept}, 0
    for name in names:
        if name not in short:
            while str(free) in kept:
                free += 1
            short[name] = str(free)
            free += 1
    return short


SCALE, QUANTISED, ZERO_POINT = "_scale", "_quantized", "_zero_point"


@dataclass(frozen=True)
class DuplicateTable:
    """A duplicated table: `table`, read by `gather` and converted by `dequantise`, and its
    transpose `product` in a matrix product."""

    gather: NodeProto
    dequantise: NodeProto
    table: str
    product: str


def share_table(model: ModelProto) -> ModelProto:
    """Store only the table of the product, as rows; the runtime transposes it when loading.

    Dynamic quantisation duplicates a table that is tied between input and output. The product's
    has a scale per item, so the rows that are looked up become more accurate.
    """
    for duplicate in duplicate_tables(model):
        _replace(model, duplicate)
    return model


def duplicate_tables(model: ModelProto) -> list[DuplicateTable]:
    """All duplicated tables of the graph."""
    weights = {w.name: w for w in model.graph.initializer}
    by_output = {name: node for node in model.graph.node for name in node.output}
    products = [
        node.input[1]
        for node in model.graph.node
        if node.op_type == "MatMulInteger" and node.input[1] in weights
    ]
    duplicates = []
    for node in model.graph.node:
        gather = by_output.get(node.input[0]) if node.op_type == "DequantizeLinear" else None
        if gather is None or gather.op_type != "Gather" or gather.input[0] not in weights:
            continue
        table = gather.input[0]
        for product in products:
            if _same(weights, table, product):
                duplicates.append(DuplicateTable(gather, node, table, product))
                break
    return duplicates


def _same(weights: dict[str, TensorProto], table: str, product: str) -> bool:
    """Whether both represent the same numbers within 8-bit precision."""
    if list(weights[table].dims) != list(weights[product].dims)[::-1]:
        return False
    rows, columns = _float(weights, table), _float(weights, product)
    steps = [numpy_helper.to_array(weights[_beside(n, SCALE)]).max() for n in (table, product)]
    return bool(np.abs(rows - columns.T).max(initial=0) <= sum(steps))


def _float(weights: dict[str, TensorProto], name: str) -> np.ndarray:
    """The values of a quantised weight, with one scale, or one per column."""
    numbers, scale, zero = (
        numpy_helper.to_array(weights[key]).astype(np.float32)
        for key in (name, _beside(name, SCALE), _beside(name, ZERO_POINT))
    )
    return (numbers - zero) * scale


def _beside(name: str, end: str) -> str:
    return name.removesuffix(QUANTISED) + end


def _replace(model: ModelProto, duplicate: DuplicateTable) -> None:
    graph, items, rows = model.graph, duplicate.gather.input[1], duplicate.dequantise.output[0]
    weights = {w.name: w for w in graph.initializer}
    turned = np.ascontiguousarray(numpy_helper.to_array(weights[duplicate.product]).T)
    graph.initializer.append(numpy_helper.from_array(turned, f"{rows}_table"))
    graph.initializer.append(numpy_helper.from_array(np.array([-1]), f"{rows}_last"))
    lookup: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("Gather", [f"{rows}_table", items], f"{rows}_numbers", {}),
        ("Cast", [f"{rows}_numbers"], f"{rows}_whole", {"to": TensorProto.FLOAT}),
        ("Gather", [_beside(duplicate.product, SCALE), items], f"{rows}_scales", {}),
        ("Unsqueeze", [f"{rows}_scales", f"{rows}_last"], f"{rows}_each", {}),
        ("Mul", [f"{rows}_whole", f"{rows}_each"], rows, {}),
    ]
    nodes = [helper.make_node("Transpose", [f"{rows}_table"], [duplicate.product], perm=[1, 0])]
    for node in graph.node:
        if node.output == duplicate.dequantise.output:
            nodes += [helper.make_node(op, ins, [out], **more) for op, ins, out, more in lookup]
        elif node.output != duplicate.gather.output:
            nodes.append(node)
    del graph.node[:]
    graph.node.extend(nodes)
    used = {name for node in nodes for name in node.input} - {duplicate.product}
    kept = [w for w in graph.initializer if w.name in used]
    del graph.initializer[:]
    graph.initializer.extend(kept)

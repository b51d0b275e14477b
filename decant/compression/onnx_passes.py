"""Passes that shrink an ONNX graph: short names."""

from collections.abc import Iterable

from onnx import AttributeProto, ModelProto


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

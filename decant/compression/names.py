"""Short names within a graph: in a small student they are a tenth of what is shipped."""

from collections.abc import Iterable

from onnx import AttributeProto, ModelProto


def shorten_names(model: ModelProto) -> ModelProto:
    """Rename every value but the graph's inputs and outputs to a number; nodes lose their names.

    A graph with graphs inside its nodes, which may use its values, is left as it is.
    """
    graph = model.graph
    kinds = (attribute.type for node in graph.node for attribute in node.attribute)
    if {AttributeProto.GRAPH, AttributeProto.GRAPHS} & set(kinds):
        return model
    kept = {value.name for value in (*graph.input, *graph.output)} | {""}  # "": an input left out
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
    """A number for each name, in their order; those of `kept` stay."""
    short, free = {name: name for name in kept}, 0
    for name in names:
        if name not in short:
            while str(free) in kept:
                free += 1
            short[name] = str(free)
            free += 1
    return short

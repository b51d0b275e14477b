from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper

from decant.compression.quantize import quantize_int8
from decant.models.export import export_onnx, input_names, strip
from decant.models.recommender import Architecture, Recommender
from decant.runtime.session import Model


def talkative() -> onnx.ModelProto:
    """A graph that says where it was made, wherever the format allows it."""
    node = helper.make_node("Relu", ["x"], ["y"], doc_string="at /home/me/model.py")
    node.metadata_props.add(key="stack", value="/home/me/model.py")
    x, y = (helper.make_tensor_value_info(n, TensorProto.FLOAT, [1]) for n in "xy")
    x.doc_string = "/home/me/x.py"
    weight = helper.make_tensor("w", TensorProto.FLOAT, [1], [1.0])
    weight.metadata_props.add(key="from", value="/home/me/w.py")
    graph = helper.make_graph([node], "g", [x], [y], [weight], doc_string="/home/me/g.py")
    graph.metadata_props.add(key="from", value="/home/me")
    step = helper.make_node("Relu", ["a"], ["b"], doc_string="/home/me")
    opset, said = [helper.make_opsetid("", 18)], "/home/me/f.py"
    inner = helper.make_function("custom", "f", ["a"], ["b"], [step], opset, doc_string=said)
    model = helper.make_model(graph, functions=[inner], producer_version="2.13.0 of /home/me")
    model.metadata_props.add(key="from", value="/home/me")
    return model


def test_nothing_that_the_exporter_says_about_itself_stays() -> None:
    assert b"/home/me" in talkative().SerializeToString()
    stripped = strip(talkative())
    assert b"/home/me" not in stripped.SerializeToString()


def test_what_the_graph_computes_stays(tmp_path: Path) -> None:
    stripped = strip(talkative())
    onnx.save(stripped, tmp_path / "model.onnx")
    assert [n.op_type for n in onnx.load(tmp_path / "model.onnx").graph.node] == ["Relu"]
    assert [w.name for w in stripped.graph.initializer] == ["w"]


def test_a_graph_reads_the_events_inputs_and_attributes_only_where_the_model_does() -> None:
    shape = Architecture(
        items=3, dimension=4, heads=(1,), head_width=4, hidden=(4,), max_length=2,
        inputs=("item", "gap", "attributes"), gaps=3, attribute_sizes=(2,),
    )  # fmt: skip
    assert input_names(Recommender(shape)) == ("items", "gaps", "attributes")
    without = Architecture.from_dict({**shape.to_dict(), "inputs": ["item"]})
    assert input_names(Recommender(without)) == ("items",)


def test_a_graph_that_reads_less_than_a_request_has_says_so_and_leaves_the_rest_out(
    tmp_path: Path,
) -> None:
    torch.manual_seed(0)
    shape = Architecture(
        items=9, dimension=8, heads=(2,), head_width=4, hidden=(16,), max_length=4,
        inputs=("item",),
    )  # fmt: skip
    model = Recommender(shape).eval()
    export_onnx(model, tmp_path / "short.onnx", 10)
    quantize_int8(tmp_path / "short.onnx", tmp_path / "int8.onnx")
    history = torch.tensor([[1, 2, 3, 4, 5, 6, 7]])
    expected = model({"items": history[:, -4:]}).detach().numpy()
    for name, tolerance in (("short", 1e-5), ("int8", 0.1)):
        graph = Model(tmp_path / f"{name}.onnx")
        assert graph.max_length == 4
        scores = graph.scores({"items": history.numpy()})
        np.testing.assert_allclose(scores, expected, atol=tolerance)
    export_onnx(model, tmp_path / "whole.onnx", 4)
    assert Model(tmp_path / "whole.onnx").max_length is None

import numpy as np
import onnx
import onnxruntime
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper

from decant.compression.onnx_passes import numbered, shorten_names


def graph() -> ModelProto:
    """`total` = relu(x · weight) + x · weight, clipped from below."""
    value = helper.make_tensor_value_info
    nodes = [
        helper.make_node("MatMul", ["x", "layers.0.weight"], ["a/long/name"], name="node_MatMul_7"),
        helper.make_node("Relu", ["a/long/name"], ["another"], name="node_Relu_8"),
        helper.make_node("Add", ["another", "a/long/name"], ["sum"]),
        helper.make_node("Clip", ["sum", "", "at.most"], ["total"]),
    ]
    weights = [
        numpy_helper.from_array(
            np.arange(6, dtype=np.float32).reshape(2, 3) - 3, "layers.0.weight"
        ),
        numpy_helper.from_array(np.array(4, dtype=np.float32), "at.most"),
    ]
    made = helper.make_graph(
        nodes, "g", [value("x", TensorProto.FLOAT, ["b", 2])],
        [value("total", TensorProto.FLOAT, ["b", 3])], weights,
        value_info=[value("another", TensorProto.FLOAT, ["b", 3])],
    )  # fmt: skip
    return helper.make_model(made, opset_imports=[helper.make_opsetid("", 18)], ir_version=9)


def run(model: ModelProto) -> np.ndarray:
    session = onnxruntime.InferenceSession(model.SerializeToString())
    x = np.array([[1, 2], [-3, 0.5]], dtype=np.float32)
    answer: np.ndarray = session.run(["total"], {"x": x})[0]
    return answer


def test_what_a_graph_answers_is_the_same_and_it_is_smaller() -> None:
    before, model = graph(), shorten_names(graph())
    onnx.checker.check_model(model, full_check=True)
    np.testing.assert_array_equal(run(model), run(before))
    assert model.ByteSize() < before.ByteSize() - 100
    assert [weight.name for weight in model.graph.initializer] == ["0", "1"]
    assert {node.name for node in model.graph.node} == {""}


def test_a_graph_whose_nodes_hold_graphs_is_left_alone() -> None:
    inner = helper.make_graph([], "inner", [], [])
    model = graph()
    model.graph.node[0].attribute.append(helper.make_attribute("then_branch", inner))
    before = model.SerializeToString()
    assert shorten_names(model).SerializeToString() == before


@pytest.mark.parametrize(
    ("names", "kept", "expected"),
    [
        (["a", "b", "a"], {"x"}, {"a": "0", "b": "1", "x": "x"}),
        (["a", "b"], {"0"}, {"a": "1", "b": "2", "0": "0"}),
    ],
)
def test_no_number_is_given_twice(
    names: list[str], kept: set[str], expected: dict[str, str]
) -> None:
    assert numbered(names, kept) == expected

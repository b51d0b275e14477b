"""What is not a graph of ours is refused, in one line that names the operator or the tensor."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from decant.models.bundle import BundleError
from decant.runtime import graph_check
from decant.runtime.graph_check import OPSET, check_graph
from decant.runtime.session import Model, session_options

ROWS = np.arange(12, dtype=np.float32).reshape(4, 3)


def make() -> onnx.ModelProto:
    """items → their rows of a table, once more with a zero added."""
    weights = [numpy_helper.from_array(ROWS, "rows"), numpy_helper.from_array(0 * ROWS[0], "zero")]
    nodes = [
        helper.make_node("Gather", ["rows", "items"], ["found"], axis=0),
        helper.make_node("Add", ["found", "zero"], ["scores"]),
    ]
    items = helper.make_tensor_value_info("items", TensorProto.INT64, ["batch"])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch", 3])
    made = helper.make_graph(nodes, "g", [items], [scores], weights)
    opsets = [helper.make_opsetid("", OPSET)]
    return helper.make_model(made, opset_imports=opsets, ir_version=10)


def inner() -> onnx.GraphProto:
    """A graph such as loops and branches hold."""
    y = helper.make_tensor_value_info("y", TensorProto.FLOAT, [1])
    return helper.make_graph([helper.make_node("Relu", ["x"], ["y"])], "inner", [], [y])


def outside(tensor: onnx.TensorProto) -> onnx.TensorProto:
    """The tensor with its numbers in another file."""
    tensor.ClearField("raw_data")
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value=".decant/keys/signing")
    return tensor


def external_weight(model: onnx.ModelProto) -> None:
    outside(model.graph.initializer[0])


def external_weight_without_a_flag(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].external_data.add(key="location", value="secret")


def flag_alone(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].data_location = TensorProto.EXTERNAL


def sparse_weight(model: onnx.ModelProto) -> None:
    sparse = model.graph.sparse_initializer.add()
    sparse.values.CopyFrom(outside(numpy_helper.from_array(ROWS[0], "sparse")))
    sparse.dims.append(3)


def constant(model: onnx.ModelProto) -> None:
    value = outside(numpy_helper.from_array(ROWS[0], "inside"))
    model.graph.node.insert(0, helper.make_node("Constant", [], ["c"], value=value))


def tensor_of_a_known_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("value", outside(tensor())))


def tensors_of_a_known_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("values", [tensor(), tensor()]))


def tensor() -> onnx.TensorProto:
    return numpy_helper.from_array(ROWS[0], "inside")


def graph_of_a_known_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("body", inner()))


def graphs_of_a_known_operator(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("bodies", [inner()]))


def hidden_graph(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute[0].g.CopyFrom(inner())


def kind_of_a_list(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute.append(helper.make_attribute("names", ["a", "b"]))


def unknown_kind(model: onnx.ModelProto) -> None:
    model.graph.node[0].attribute[0].type = onnx.AttributeProto.UNDEFINED


def operator(name: str, **more: Any) -> Callable[[onnx.ModelProto], None]:
    def add(model: onnx.ModelProto) -> None:
        model.graph.node.append(helper.make_node(name, ["found"], ["more"], **more))

    return add


def function(model: onnx.ModelProto) -> None:
    opsets = [helper.make_opsetid("", OPSET)]
    step = helper.make_node("Relu", ["a"], ["b"])
    model.functions.append(helper.make_function("own", "Gather", ["a"], ["b"], [step], opsets))


def training(model: onnx.ModelProto) -> None:
    model.training_info.add().algorithm.CopyFrom(inner())


def opsets(*versions: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        del model.opset_import[:]
        model.opset_import.extend(helper.make_opsetid("", version) for version in versions)

    return change


def set_to(path: str, value: Any) -> Callable[[onnx.ModelProto], None]:
    """Set one field, `graph_check.node.0.domain` for one."""

    def change(model: onnx.ModelProto) -> None:
        result: Any = model
        *above, last = path.split(".")
        for name in above:
            result = result[int(name)] if name.isdecimal() else getattr(result, name)
        setattr(result, last, value)

    return change


def shape(*dims: int) -> Callable[[onnx.ModelProto], None]:
    def change(model: onnx.ModelProto) -> None:
        model.graph.initializer[0].dims[:] = dims

    return change


def typed_beside_raw(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].float_data.append(1)


def typed_of_another(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].int64_data.append(1)


def strings(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].CopyFrom(helper.make_tensor("rows", TensorProto.STRING, [1], [b"a"]))


def doubles(model: onnx.ModelProto) -> None:
    model.graph.initializer[0].CopyFrom(numpy_helper.from_array(ROWS.astype(float), "rows"))


def metadata(model: onnx.ModelProto) -> None:
    model.metadata_props.add(key="ort_config", value='{"session_options": {}}')


def max_length(*values: str) -> Callable[[onnx.ModelProto], None]:
    def edit(model: onnx.ModelProto) -> None:
        for value in values:
            model.metadata_props.add(key="max_length", value=value)

    return edit


def second_output(model: onnx.ModelProto) -> None:
    model.graph.output.append(model.graph.output[0])


def no_input(model: onnx.ModelProto) -> None:
    del model.graph.input[:]


def sequence(model: onnx.ModelProto) -> None:
    kind = model.graph.input[0].type
    kind.sequence_type.elem_type.tensor_type.elem_type = TensorProto.INT64


def size_of_the_items(model: onnx.ModelProto) -> None:
    """A row of as many numbers as the first item's index says."""
    weights = [numpy_helper.from_array(np.array(value), f"n{value}") for value in (0, 1)]
    model.graph.initializer.extend(weights)
    model.graph.node.extend(
        [
            helper.make_node("Gather", ["items", "n0"], ["first"]),
            helper.make_node("Mul", ["first", "first"], ["many"]),
            helper.make_node("Range", ["n0", "many", "n1"], ["row"]),
        ]
    )


def shape_of_the_items(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Reshape", ["found", "items"], ["turned"]))


def copies_of_the_items(model: onnx.ModelProto) -> None:
    model.graph.node.append(helper.make_node("Expand", ["found", "items"], ["turned"]))


FORGED: list[tuple[Callable[[onnx.ModelProto], Any], str]] = [
    (external_weight, "tensor `rows` has `external_data`, which is not allowed"),
    (external_weight_without_a_flag, "tensor `rows` has `external_data`, which is not allowed"),
    (flag_alone, "tensor `rows` has `data_location`, which is not allowed"),
    (sparse_weight, "the graph has `sparse_initializer`, which is not allowed"),
    (constant, r"operator `Constant` \(output c\) is not in the list of allowed operators"),
    (tensor_of_a_known_operator, "attribute `value` of operator `Gather` .* has `t`"),
    (tensors_of_a_known_operator, "attribute `values` of operator `Gather` .* has `tensors`"),
    (graph_of_a_known_operator, "attribute `body` of operator `Gather` .* has `g`"),
    (graphs_of_a_known_operator, "attribute `bodies` of operator `Gather` .* has `graphs`"),
    (hidden_graph, "attribute `axis` of operator `Gather` .* has `g`"),
    (kind_of_a_list, "attribute `names` of operator `Gather` .* has `strings`"),
    (unknown_kind, "attribute `axis` of operator `Gather` .* holds UNDEFINED"),
    (operator("Loop", body=inner()), "operator `Loop` .* is not in the list"),
    (operator("If", then_branch=inner(), else_branch=inner()), "operator `If` .* is not in"),
    (operator("Scan", body=inner(), num_scan_inputs=1), "operator `Scan` .* is not in"),
    (operator("Tile"), "operator `Tile` .* is not in the list"),
    (operator("Gather", domain="com.microsoft"), "operator `Gather` .* has `domain`"),
    (operator("Gather", domain="ai.onnx"), "operator `Gather` .* has `domain`"),
    (operator("Gather", overload="x"), "operator `Gather` .* has `overload`"),
    (operator("Bad\nname\x1b[31m" * 50), r"operator `Bad\?name\?\[31mBad.*…` \(output more\)"),
    (function, "the model has `functions`, which is not allowed"),
    (training, "the model has `training_info`, which is not allowed"),
    (metadata, "the model has metadata other than one `max_length`"),
    (max_length("0"), "`max_length` of the model is not a number from 1 to 100000"),
    (max_length("١٢"), "`max_length` of the model is not a number"),
    (max_length("9" * 5000), "`max_length` of the model is not a number"),
    (max_length("5", "5"), "the model has metadata other than one `max_length`"),
    (opsets(), r"operator set \[\]; expected 18"),
    (opsets(OPSET + 1), "operator set .19.; expected 18"),
    (opsets(OPSET, OPSET), "operator set .18, 18.; expected 18"),
    (set_to("ir_version", 3), "format version 3; expected 8 to"),
    (set_to("ir_version", 2**40), "format version 1099511627776; expected 8 to"),
    (set_to("graph.initializer.0.data_type", TensorProto.DOUBLE), "`rows` is of type DOUBLE"),
    (set_to("graph.initializer.0.data_type", 999), "`rows` is of type number 999"),
    (set_to("graph.initializer.0.raw_data", b"abc"), r"holds 0.75 numbers; its shape \[4, 3\]"),
    (set_to("graph.initializer.0.raw_data", b""), r"`rows` holds 0 numbers; its .* requires 12"),
    (shape(10**9, 10**9), r"`rows` holds 12 numbers; its shape .* requires 1000000000000000000"),
    (shape(-4, -3), r"tensor `rows` has an invalid shape \[-4, -3\]"),
    (shape(*[1] * 9, 12), "tensor `rows` has an invalid shape"),
    (typed_beside_raw, "tensor `rows` holds 13 numbers"),
    (typed_of_another, "tensor `rows` holds 12 numbers"),
    (strings, "tensor `rows` has `string_data`"),
    (doubles, "tensor `rows` is of type DOUBLE"),
    (second_output, "exactly one output"),
    (no_input, "needs operators, inputs"),
    (sequence, "value `items` has `sequence_type`"),
    (set_to("graph.input.0.type.tensor_type.elem_type", TensorProto.FLOAT), "`items` is not a"),
    (set_to("graph.output.0.type.tensor_type.elem_type", TensorProto.INT64), "`scores` is not a"),
    (
        size_of_the_items,
        r"operator `Range` \(output row\) computes a size from values of the request",
    ),
    (shape_of_the_items, "operator `Reshape` .* computes a size from values of the request"),
    (copies_of_the_items, "operator `Expand` .* computes a size from values of the request"),
]


@pytest.mark.parametrize(("forge", "problem"), FORGED, ids=range(len(FORGED)))
def test_what_is_not_ours_is_refused(
    forge: Callable[[onnx.ModelProto], Any], problem: str, tmp_path: Path
) -> None:
    model = make()
    forge(model)
    content = model.SerializeToString()
    with pytest.raises(BundleError, match=problem) as refused:
        check_graph(content)
    assert str(refused.value).isprintable() and len(str(refused.value)) < 300
    (tmp_path / "model.onnx").write_bytes(content)
    with pytest.raises(BundleError, match=problem):
        Model(tmp_path / "model.onnx")


def test_the_graph_that_is_forged_here_may_be_run() -> None:
    content = make().SerializeToString()
    check_graph(content)
    np.testing.assert_array_equal(Model(content).scores({"items": np.array([2, 1])}), ROWS[[2, 1]])


@pytest.mark.parametrize("content", [b"no graph", b"\x00", b"\xff" * 20, b"ORTM" + bytes(40)])
def test_what_is_no_graph_is_refused(content: bytes) -> None:
    with pytest.raises(BundleError):
        check_graph(content)


def test_no_bytes_are_no_graph() -> None:
    with pytest.raises(BundleError, match=r"operator set \[\]"):
        check_graph(b"")


@pytest.mark.parametrize("end", [-1, -30, 100, 1])
def test_a_graph_that_was_cut_is_refused(end: int) -> None:
    with pytest.raises(BundleError):
        check_graph(make().SerializeToString()[:end])


def test_fields_of_a_later_format_are_refused() -> None:
    later = bytes([0x82, 0x7D, 0x01, 0x41])  # field 2000, one byte
    with pytest.raises(BundleError, match="the model has unknown fields"):
        check_graph(make().SerializeToString() + later)


@pytest.mark.parametrize(
    ("limit", "problem"),
    [("MOST_BYTES", "bytes, more than 1"), ("MOST_PARTS", "2 operators, more than 1")],
)
def test_what_is_too_large_is_refused(
    limit: str, problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(graph_check, limit, 1)
    with pytest.raises(BundleError, match=problem):
        check_graph(make().SerializeToString())


def test_the_runtime_takes_no_other_format_for_one_of_ours() -> None:
    options = session_options(1)
    assert options.get_session_config_entry("session.load_model_format") == "ONNX"
    with pytest.raises(Exception, match="(?i)protobuf|parse"):
        ort.InferenceSession(b"    ORTM" + bytes(64), options, providers=["CPUExecutionProvider"])

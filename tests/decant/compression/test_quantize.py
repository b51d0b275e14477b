from pathlib import Path

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from decant.compression.quantize import quantize_int8
from decant.serving.engine import Model

WIDTH, ITEMS = 16, 200


@pytest.fixture
def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ITEMS, WIDTH)).astype(np.float32)


@pytest.fixture
def graph(tmp_path: Path, table: np.ndarray) -> Path:
    """items → their rows of the table → products with every row."""
    weights = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(np.ascontiguousarray(table.T), "turned"),
    ]
    nodes = [
        helper.make_node("Gather", ["table", "items"], ["rows"]),
        helper.make_node("MatMul", ["rows", "turned"], ["scores"]),
    ]
    items = helper.make_tensor_value_info("items", TensorProto.INT64, ["n"])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["n", ITEMS])
    model = helper.make_model(
        helper.make_graph(nodes, "g", [items], [scores], weights),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.save(model, tmp_path / "model.onnx")
    return tmp_path / "model.onnx"


def test_a_quantised_graph_is_about_a_quarter_as_large(graph: Path, tmp_path: Path) -> None:
    quantize_int8(graph, tmp_path / "int8.onnx")
    sizes = [path.stat().st_size for path in (graph, tmp_path / "int8.onnx")]
    assert sizes[0] / 5 < sizes[1] < sizes[0] / 2.5


def test_its_products_are_nearly_the_same(graph: Path, tmp_path: Path, table: np.ndarray) -> None:
    quantize_int8(graph, tmp_path / "int8.onnx")
    items = np.arange(20)
    found = Model(tmp_path / "int8.onnx").scores({"items": items})
    exact = table[items] @ table.T
    assert np.corrcoef(found.ravel(), exact.ravel())[0, 1] > 0.999
    assert not np.array_equal(found, exact)


def test_the_graph_it_was_made_from_stays(graph: Path, tmp_path: Path) -> None:
    before = graph.read_bytes()
    quantize_int8(graph, tmp_path / "int8.onnx")
    assert graph.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["int8.onnx", "model.onnx"]

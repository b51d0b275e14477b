from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper
from onnx.reference import ReferenceEvaluator
from onnx.reference.op_run import OpRun
from onnxruntime.quantization import quantize_dynamic

from decant.compression.quantize import quantize_int8
from decant.runtime.session import Model

WIDTH, ITEMS = 16, 200


@pytest.fixture
def table() -> np.ndarray:
    return np.random.default_rng(0).normal(size=(ITEMS, WIDTH)).astype(np.float32)


def write(folder: Path, table: np.ndarray, turned: np.ndarray, rank: int = 1) -> Path:
    """items → their rows of the table, doubled → products with every column of another one."""
    weights = [
        numpy_helper.from_array(table, "table"),
        numpy_helper.from_array(turned, "turned"),
        numpy_helper.from_array(np.float32(2), "two"),
    ]
    nodes = [
        helper.make_node("Gather", ["table", "items"], ["rows"]),
        helper.make_node("Mul", ["rows", "two"], ["doubled"]),
        helper.make_node("MatMul", ["doubled", "turned"], ["scores"]),
    ]
    names = [f"n{axis}" for axis in range(rank)]
    items = helper.make_tensor_value_info("items", TensorProto.INT64, names)
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, [*names, ITEMS])
    model = helper.make_model(
        helper.make_graph(nodes, "g", [items], [scores], weights),
        opset_imports=[helper.make_opsetid("", 18)],
        ir_version=8,
    )
    onnx.save(model, folder / "model.onnx")
    return folder / "model.onnx"


@pytest.fixture
def graph(tmp_path: Path, table: np.ndarray) -> Path:
    """A table that is tied between input and output."""
    return write(tmp_path, table, np.ascontiguousarray(table.T))


def test_a_quantised_graph_keeps_its_table_once_and_a_byte_for_each_number(
    graph: Path, tmp_path: Path, table: np.ndarray
) -> None:
    quantize_int8(graph, tmp_path / "int8.onnx")
    weights = [
        numpy_helper.to_array(w) for w in onnx.load(tmp_path / "int8.onnx").graph.initializer
    ]
    assert [w.nbytes for w in weights if w.size >= table.size] == [table.size]
    assert sum(w.nbytes for w in weights) < 1.6 * table.size


@pytest.mark.parametrize("shape", [(7,), (2, 7)])
def test_what_is_looked_up_is_as_near_as_the_steps_of_8_bits_allow(
    tmp_path: Path, table: np.ndarray, shape: tuple[int, ...]
) -> None:
    path = write(tmp_path, table, np.ascontiguousarray(table.T), len(shape))
    quantize_int8(path, tmp_path / "int8.onnx")
    items = np.arange(np.prod(shape)).reshape(shape)
    result = Model(tmp_path / "int8.onnx").scores({"items": items})
    exact = 2 * table[items] @ table.T
    assert result.shape == exact.shape
    assert np.abs(result - exact).mean() < 0.02 * exact.std()


class MatMulInteger(OpRun):  # type: ignore[misc]
    """Products of 8 bits as a processor without VNNI adds them: two at a time in 16 bits, cut off
    at their ends (AVX2's VPMADDUBSW)."""

    def _run(self, a: Any, b: Any, a_zero: Any = 0, b_zero: Any = 0) -> tuple[Any]:
        left, right = a.astype(np.int32), b.astype(np.int32)
        pairs = [
            (left[..., [k]] * right[k] + left[..., [k + 1]] * right[k + 1]).clip(
                -(2**15), 2**15 - 1
            )
            for k in range(0, right.shape[0] - 1, 2)
        ]
        # what the zero point of the activations adds is taken off in 32 bits
        total = np.sum(pairs, axis=0) - int(a_zero) * (right - np.asarray(b_zero)).sum(axis=0)
        return (total.astype(np.int32),)


def on_old_processors(graph: Path, items: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Scores with exact products, and with products that saturate."""
    exact = ReferenceEvaluator(str(graph))
    saturating = ReferenceEvaluator(str(graph), new_ops=[MatMulInteger])
    return exact.run(None, {"items": items})[0], saturating.run(None, {"items": items})[0]


def large(table: np.ndarray) -> np.ndarray:
    """Weights of which neighbours are large and of one sign, where products saturate."""
    return np.sign(table) * (3 + np.abs(table) / 10) * (1 + (np.arange(WIDTH) < 2))


def test_products_do_not_saturate_on_processors_without_vnni(
    tmp_path: Path, table: np.ndarray
) -> None:
    weights = np.abs(large(table)).astype(np.float32)
    path = write(tmp_path, weights, np.ascontiguousarray(weights.T))
    quantize_int8(path, tmp_path / "int8.onnx")
    exact, saturating = on_old_processors(tmp_path / "int8.onnx", np.arange(20))
    np.testing.assert_array_equal(exact, saturating)
    result = Model(tmp_path / "int8.onnx").scores({"items": np.arange(20)})
    np.testing.assert_allclose(result, exact, rtol=1e-5)


def test_with_all_8_bits_they_would(
    tmp_path: Path, table: np.ndarray, monkeypatch: pytest.MonkeyPatch
) -> None:
    def with_all_bits(*arguments: Any, **settings: Any) -> None:
        quantize_dynamic(*arguments, **{**settings, "reduce_range": False})

    monkeypatch.setattr("decant.compression.quantize.quantize_dynamic", with_all_bits)
    weights = np.abs(large(table)).astype(np.float32)
    quantize_int8(write(tmp_path, weights, np.ascontiguousarray(weights.T)), tmp_path / "int8.onnx")
    exact, saturating = on_old_processors(tmp_path / "int8.onnx", np.arange(20))
    assert np.abs(exact - saturating).max() > 0.01 * np.abs(exact).max()


def test_tables_that_only_have_one_shape_are_both_kept(tmp_path: Path, table: np.ndarray) -> None:
    other = np.random.default_rng(1).normal(size=(WIDTH, ITEMS)).astype(np.float32)
    quantize_int8(write(tmp_path, table, other), tmp_path / "int8.onnx")
    items = np.arange(20)
    result = Model(tmp_path / "int8.onnx").scores({"items": items})
    assert np.corrcoef(result.ravel(), (2 * table[items] @ other).ravel())[0, 1] > 0.999


def test_its_products_are_nearly_the_same(graph: Path, tmp_path: Path, table: np.ndarray) -> None:
    quantize_int8(graph, tmp_path / "int8.onnx")
    items = np.arange(20)
    result = Model(tmp_path / "int8.onnx").scores({"items": items})
    exact = 2 * table[items] @ table.T
    assert np.corrcoef(result.ravel(), exact.ravel())[0, 1] > 0.999
    assert not np.array_equal(result, exact)


def test_the_graph_it_was_made_from_stays(graph: Path, tmp_path: Path) -> None:
    before = graph.read_bytes()
    quantize_int8(graph, tmp_path / "int8.onnx")
    assert graph.read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["int8.onnx", "model.onnx"]

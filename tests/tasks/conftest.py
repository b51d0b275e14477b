"""A workspace in which every stage before the candidate has run."""

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from onnx import TensorProto, helper

from decant.runtime.graph_check import OPSET

SETTINGS = {
    "students": {
        "general": {"init": "teacher"},
        "women": {"init": "general", "where": "gender == 'F'"},
        "men": {"init": "general", "where": "gender == 'M'"},
    }
}
RULES = {
    name: {"where": student["where"], "priority": 0}
    for name, student in SETTINGS["students"].items()
    if name != "general"
}
BUNDLE = ("model.onnx", "config.json", "items.json", "metrics.json")


@pytest.fixture
def make_workspace(tmp_path: Path) -> Callable[..., Path]:
    """Write a workspace, or write over it: `make(model=…, ndcg=…, passed=…)`."""

    def make(*, model: str = "m", ndcg: float = 0.4, passed: bool = True) -> Path:
        root = tmp_path / "shop"
        data = root / "data"
        segments = {"women": {"ships": True}, "men": {"ships": False, "reason": "gain -0.01"}}
        check = {"name": "retention", "value": 0.8, "threshold": 0.9, "why": "family ÷ teacher"}
        family = {"validation": {"all": {"ndcg": ndcg}}}
        write(root / "params.yaml", SETTINGS)
        write(root / "dvc.lock", {"stages": {}})
        write(data / "ingested" / "raw.json", {"views.csv": hashlib.sha256(b"u,i").hexdigest()})
        write(data / "segments" / "router.json", {"students": RULES, "folded": []})
        write(data / "features" / "encoder.json", {"items": 3})
        write(
            data / "gate" / "verdict.json",
            {
                "passed": passed,
                "checks": [{**check, "passed": passed}],
                "segments": segments,
                "family": family,
            },
        )
        write(data / "evaluation" / "metrics.json", {"k": 10})
        for student in SETTINGS["students"]:
            bundle(data / "compressed" / student / "int8", f"{model} of {student}")
        return root

    return make


def bundle(folder: Path, text: str) -> None:
    """Write one compressed student."""
    for name in BUNDLE:
        write(folder / name, f"{name} of {text}")
    (folder / "model.onnx").write_bytes(graph(text))
    files = {name: hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in BUNDLE}
    write(folder / "manifest.json", {"files": files})


def graph(text: str) -> bytes:
    """A graph that may be served; another text is another one."""
    items = helper.make_tensor_value_info("items", TensorProto.INT64, ["batch"])
    scores = helper.make_tensor_value_info("scores", TensorProto.FLOAT, ["batch"])
    cast = helper.make_node("Cast", ["items"], ["scores"], to=TensorProto.FLOAT)
    opsets = [helper.make_opsetid("", OPSET)]
    made = helper.make_graph([cast], "cast", [items], [scores])
    model = helper.make_model(made, opset_imports=opsets, ir_version=10, producer_version=text)
    return bytes(model.SerializeToString())


def write(path: Path, content: Any) -> None:
    """Write JSON, which is YAML as well."""
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))

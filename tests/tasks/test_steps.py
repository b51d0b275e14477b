"""The modelling steps, one after another on a tiny shop: features … gate, each as DVC runs it."""

import hashlib
import importlib
import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pandas as pd
import pytest
import torch

from decant import cli
from decant.data.membership import SegmentError
from decant.data.prepare import FeaturesError
from decant.data.split import SplitError
from decant.evaluation.baselines import COUNTS, HYBRID, NAMES, REPEATING
from decant.evaluation.scoring import OnnxScorer
from decant.features.encode import Encoder
from decant.features.sequences import TEST, VALIDATION, Sequences, cases, masked_items
from decant.models import bundle
from decant.models.build import load_model
from decant.params.load import parse_params
from decant.runtime.ranking import top_items
from decant.runtime.session import Model
from tasks.evaluate import model_folders
from tasks.runner.step import SUMMARY, SUMMARY_PAGE, Summary, Workspace, run_step
from tasks.runner.training_record import RECORD

torch.set_num_threads(1)
TINY = {
    "dimension": 16, "layers": 1, "heads": 2, "epochs": 1, "precision": "float32",
    "device": "cpu", "learning_rate": 0.01, "threads": 1, "batch_size": 16,
}  # fmt: skip
PARAMS: dict[str, Any] = {
    "raw": {"users": 150, "items": 48, "steps": 12},
    "features": {"max_length": 12, "attributes": ["age", "gender"], "exclude_seen": True},
    "embed": {"dimension": 8},
    "teacher": {**TINY, "ensemble": 1, "inputs": ["item", "text", "behaviour", "attributes"]},
    "knowledge": {"top_k": 8},
    "distill": {
        **TINY,
        "inputs": ["item", "text", "behaviour"],
        "segment_epochs": 1,
        "min_users": 20,
    },
    "students": {
        "general": {"init": "teacher"},
        "women": {"init": "general", "where": "gender == 'F'", "overrides": {"shrink": True}},
        "few": {"init": "general", "where": "gender == 'M' and age < 20", "priority": 1},
    },
    "compress": {"recover_epochs": 1, "max_loss": 0.5},
    "evaluate": {"latency_requests": 10, "resamples": 100},
}
BEFORE = ("raw", "ingest", "validate")
SHARED = ("features", "segments", "embed", "teacher", "knowledge")
STUDENTS = ("general", "women", "few")
MEASURED = {*NAMES} - {*REPEATING}  # seen items are left out
STABLE = ("features", "segments", "vectors", "models", "knowledge", "shrunk", "compressed")


def step(root: Path, name: str, student: str | None = None, **changes: Any) -> Summary:
    """Run one step as its program does, perhaps with other settings."""
    module = importlib.import_module(f"tasks.{name}")
    settings = {**PARAMS, **{k: {**PARAMS.get(k, {}), **v} for k, v in changes.items()}}
    workspace = Workspace(root, parse_params(settings), student)
    return run_step(module.run, workspace, getattr(module, "describe", None))


def models(root: Path) -> None:
    for name in SHARED:
        step(root, name)
    for student in STUDENTS:
        step(root, "distill", student)
    step(root, "shrink")


@pytest.fixture(scope="module")
def validated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which the data steps have run."""
    root = tmp_path_factory.mktemp("shop")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("DECANT_PSEUDONYM_KEY", "a key for tests, long enough to be one")
        for name in BEFORE:
            step(root, name)
    return root


@pytest.fixture(scope="module")
def shop(validated: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A workspace in which every step up to the gate has run."""
    root = tmp_path_factory.mktemp("all") / "shop"
    shutil.copytree(validated, root)
    models(root)
    for student in STUDENTS:
        step(root, "compress", student)
    step(root, "evaluate")
    step(root, "gate")
    return root


@pytest.fixture
def copy(validated: Path, tmp_path: Path) -> Iterator[Path]:
    """A workspace of one's own, after the data steps."""
    shutil.copytree(validated, tmp_path / "copy")
    yield tmp_path / "copy"
    assert not list((tmp_path / "copy" / "data").glob("**/.*.tmp")), "half-written output"


def digests(root: Path) -> dict[str, str]:
    """sha256 of every file that must be the same each time, by path."""
    files = (p for name in STABLE for p in sorted((root / "data" / name).rglob("*")) if p.is_file())
    return {
        str(p.relative_to(root / "data")): hashlib.sha256(p.read_bytes()).hexdigest() for p in files
    }


def read_json(root: Path, name: str) -> Any:
    return json.loads((root / "data" / name).read_text())


def load_sequences(root: Path) -> tuple[Encoder, Sequences]:
    folder = root / "data" / "features"
    return Encoder.load(folder / "encoder.json"), Sequences.load(folder / "sequences")


def test_every_step_leaves_a_summary_and_a_page(shop: Path) -> None:
    folders = ["features", "segments", "vectors", "knowledge", "models/teacher", "shrunk"]
    folders += [f"{kind}/{name}" for kind in ("models", "compressed") for name in STUDENTS]
    for folder in [*folders, "evaluation", "gate"]:
        assert (shop / "data" / folder / SUMMARY).is_file(), folder
        assert (shop / "data" / folder / SUMMARY_PAGE).read_text().strip(), folder


def test_every_training_tells_its_arithmetic_and_apart_from_the_model_its_time(shop: Path) -> None:
    for name in ("teacher", "general", "women"):
        record = read_json(shop, f"training/{name}/{RECORD}")
        arithmetic = {"device": "cpu", "precision": "float32", "threads": 1, "processes": 1}
        assert record["arithmetic"] == read_json(shop, f"models/{name}/{SUMMARY}")["arithmetic"]
        assert record["arithmetic"].items() >= arithmetic.items(), record
        assert record["seconds"] > 0
        assert record["trainings"] == (2 if name == "teacher" else 1)  # it has an ensemble of one
        assert record["machine"]["cpu"] and record["machine"]["accelerator"] is None
    few = read_json(shop, f"training/few/{RECORD}")
    assert (few["seconds"], few["trainings"], few["arithmetic"]) == (0, 0, {})


def test_in_another_folder_the_same_bytes_are_made(shop: Path, copy: Path) -> None:
    models(copy)
    for student in ("general", "few"):  # women's would show no more, and exporting takes seconds
        step(copy, "compress", student)
    again, first = digests(copy), digests(shop)
    left_out = "compressed/women/"
    assert again == {p: digest for p, digest in first.items() if not p.startswith(left_out)}
    kinds = {Path(path).suffix for path in again}
    assert kinds >= {".onnx", ".safetensors", ".npy", ".parquet", ".json"}


def test_a_step_run_again_makes_the_same_bytes(shop: Path, tmp_path: Path) -> None:
    root = tmp_path / "again"
    shutil.copytree(shop, root)
    for name in ("features", "segments", "embed", "knowledge", "gate"):
        step(root, name)
    assert digests(root) == digests(shop)
    assert read_json(root, "gate/verdict.json") == read_json(shop, "gate/verdict.json")


def test_a_shrunk_student_is_what_is_compressed_and_evaluated(shop: Path) -> None:
    """Between general and the student as trained; others are as trained."""
    weights = {name: read_json(shop, f"shrunk/{name}/weight.json")["weight"] for name in STUDENTS}
    assert weights["general"] == weights["few"] == 1.0
    women = read_json(shop, "shrunk/summary.json")["students"]["women"]
    assert women["weight"] == weights["women"] <= 1.0
    assert women["users"] > 0
    models = {
        name: load_model(shop / "data" / folder).state_dict()
        for name, folder in {
            "start": "models/general", "own": "models/women", "shrunk": "shrunk/women/model"
        }.items()
    }  # fmt: skip
    for name, start in models["start"].items():
        expected = start + weights["women"] * (models["own"][name] - start)
        torch.testing.assert_close(models["shrunk"][name], expected)
    hops = read_json(shop, "compressed/women/summary.json")["hops"]
    assert hops["distilled"]["shrunk_to"] == weights["women"]
    places = model_folders(Workspace(shop, parse_params(PARAMS)))
    assert places["women/distilled"] == shop / "data/shrunk/women/model"
    assert places["general/distilled"] == shop / "data/models/general"


def test_every_bundle_is_complete_and_of_one_catalogue(shop: Path) -> None:
    encoder, _ = load_sequences(shop)
    folders = [shop / "data" / "models" / name for name in ("teacher", "general", "women")]
    for student in ("general", "women"):
        folders += [shop / "data" / "compressed" / student / hop for hop in ("pruned", "int8")]
    for folder in folders:
        bundle.check(folder)
        assert tuple(bundle.read_json(folder, bundle.ITEMS)) == encoder.items
        onnx.checker.check_model(onnx.load(folder / bundle.GRAPH))


def test_a_folded_student_says_so_and_has_no_model(shop: Path) -> None:
    for kind in ("models", "compressed"):
        folder = shop / "data" / kind / "few"
        assert read_json(shop, f"{kind}/few/{SUMMARY}")["status"] == "folded"
        assert {path.name for path in folder.iterdir()} == {SUMMARY, SUMMARY_PAGE}
    assert read_json(shop, "segments/router.json")["folded"] == ["few"]
    evaluated = read_json(shop, "evaluation/metrics.json")["models"]
    assert not [name for name in evaluated if "few" in name]
    assert read_json(shop, "gate/verdict.json")["segments"]["few"]["ships"] is False


def test_members_are_of_their_segment_and_general_learns_from_everybody(shop: Path) -> None:
    folder = shop / "data" / "segments"
    users = pd.read_parquet(shop / "data" / "features" / "users.parquet")
    women, few, everybody, served = (
        np.load(folder / f"{name}.npy")
        for name in ("women", "few", "general", "_served_by_general")
    )
    assert (users["gender"].iloc[women] == "F").all()
    assert len(women) == (users["gender"] == "F").sum()
    assert 0 < len(few) < 20 and (users["age"].iloc[few] < 20).all()
    assert everybody.tolist() == list(range(len(users)))
    assert sorted([*women, *served]) == everybody.tolist()


def test_every_group_has_a_profile_of_its_users(shop: Path) -> None:
    result = read_json(shop, f"segments/{SUMMARY}")
    assert {name: p["users"] for name, p in result["profile"].items()} == result["users"]
    women = result["profile"]["women"]
    assert women["values"]["gender"] == [{"value": "F", "share": 1.0}]
    assert women["tags"] and set(women["taken"]) == {"price"}
    assert result["profile"]["few"]["numbers"]["age"]["deviation"] < 0
    assert "women: likes " in (shop / "data" / "segments" / SUMMARY_PAGE).read_text()


def test_the_evaluation_states_its_protocol_and_covers_every_model(shop: Path) -> None:
    metrics = read_json(shop, "evaluation/metrics.json")
    hops = {f"{s}/{hop}" for s in ("general", "women") for hop in ("distilled", "pruned", "int8")}
    assert set(metrics["models"]) == {*MEASURED, "teacher", "oracle", *hops}
    assert set(metrics["left_out"]) == {*REPEATING}
    assert {metrics["hybrid"]["first"], metrics["hybrid"]["second"]} < set(NAMES)
    protocol = metrics["protocol"]
    assert protocol["split"]["method"] == "time"
    assert (protocol["source"], protocol["catalogue"]) == ("demo", 48)
    assert protocol["exclude_seen"] is True
    for name, model in metrics["models"].items():
        for window in (VALIDATION, TEST):
            assert 0 < model[window]["all"]["ndcg"] <= 1, name


def test_what_a_request_costs_is_counted_for_every_model_that_could_serve(shop: Path) -> None:
    models = read_json(shop, "evaluation/metrics.json")["models"]
    counted = {n: m["multiply_adds"] for n, m in models.items() if "multiply_adds" in m}
    assert set(counted) == {n for n in models if n == "teacher" or "/" in n}
    assert counted["general/distilled"] >= counted["general/pruned"] == counted["general/int8"] > 0


def test_the_oracle_knows_every_case_and_is_above_every_model(shop: Path) -> None:
    result = pd.read_parquet(shop / "data" / "evaluation" / "cases.parquet")
    counts = result.groupby("model").size()
    assert counts["oracle"] == counts["teacher"]
    models = read_json(shop, "evaluation/metrics.json")["models"]
    both = {
        name: sum(model[w]["all"]["ndcg"] for w in (VALIDATION, TEST))
        for name, model in models.items()
    }
    assert both["oracle"] > max(v for name, v in both.items() if name not in ("oracle", *NAMES))


def test_what_is_evaluated_is_what_a_request_gets(shop: Path) -> None:
    encoder, sequences = load_sequences(shop)
    graph = Model(shop / "data" / "compressed" / "general" / "int8" / bundle.GRAPH)
    chosen = cases(sequences, TEST, 4)
    with np.load(shop / "data" / "evaluation" / "top.npz") as tops:
        evaluated = tops["general/int8"]
    served = []
    for row in range(len(chosen)):
        one = chosen.take(np.array([row]))
        history = int(one.position[0] - sequences.offsets[one.user[0]])
        scores = OnnxScorer(graph, min(history, encoder.max_length))(sequences, one)
        served.append(
            top_items(
                scores, masked_items(sequences, one, len(encoder.items), exclude_seen=True), 10
            )[0]
        )
    assert np.array_equal(np.array(served), evaluated)


def test_the_gate_is_a_verdict_with_its_reasons(shop: Path) -> None:
    verdict = read_json(shop, "gate/verdict.json")
    assert verdict["passed"] is all(check["passed"] for check in verdict["checks"])
    names = {check["name"] for check in verdict["checks"]}
    assert {"retention", "lift", "cases.general", "cases.women", "size_ratio"} <= names
    assert "cases.few" not in names
    assert set(verdict["segments"]) == {"women", "few"}
    served = verdict["family"][VALIDATION]
    result = pd.read_parquet(shop / "data" / "evaluation" / "cases.parquet")
    of_one = result[(result["model"] == "general/int8") & (result["window"] == VALIDATION)]
    assert served["all"]["cases"] == len(of_one)


def test_a_smaller_model_than_the_teacher_is_made(shop: Path) -> None:
    parameters = [
        read_json(shop, f"models/{n}/{SUMMARY}")["parameters"] for n in ("teacher", "general")
    ]
    pruned = read_json(shop, f"compressed/general/{SUMMARY}")["hops"]["pruned"]
    assert parameters[0] > parameters[1] >= pruned["parameters"]


def test_text_can_be_left_out(copy: Path) -> None:
    step(copy, "features")
    summary = step(copy, "embed", embed={"encoder": "none"})
    assert summary["width"] == 0
    assert not (copy / "data" / "vectors" / "text.npy").exists()


def test_an_input_that_the_data_lacks_is_named_once_by_who_would_read_it(
    copy: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    step(copy, "features", features={"attributes": []})
    step(copy, "segments")
    step(copy, "embed", embed={"encoder": "none"})
    teacher = step(copy, "teacher", teacher={"layers": 2})
    assert teacher["notes"] == [
        "teacher.inputs: `text` is left out: embed.encoder is none",
        "teacher.inputs: `attributes` is left out: features.attributes is empty",
    ]
    step(copy, "knowledge")
    general, women = step(copy, "distill", "general"), step(copy, "distill", "women")
    assert general["notes"] == ["distill.inputs: `text` is left out: embed.encoder is none"]
    assert women["notes"] == []
    printed = capsys.readouterr().out.splitlines()
    assert [line for line in printed if "is left out" in line] == [
        *teacher["notes"], *general["notes"],
    ]  # fmt: skip
    assert "`text` is left out" in (copy / "data/models/general" / SUMMARY_PAGE).read_text()
    assert "notes" not in bundle.read_json(copy / "data/models/teacher", bundle.METRICS)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"features": {"attributes": ["agee"]}}, FeaturesError, "did you mean `age`"),
        ({"features": {"target_behaviours": ["buy"]}}, FeaturesError, "has no `buy`"),
    ],
)
def test_features_that_the_data_does_not_have_are_refused(
    copy: Path, changes: Any, error: type[Exception], message: str
) -> None:
    with pytest.raises(error, match=message):
        step(copy, "features", **changes)
    assert not (copy / "data" / "features").exists()


def test_a_time_split_of_data_without_a_clock_is_refused(copy: Path) -> None:
    path = copy / "data" / "validated" / "events.parquet"
    pd.read_parquet(path).assign(time=np.nan).to_parquet(path)
    with pytest.raises(SplitError, match="set split.method: leave-one-out"):
        step(copy, "features")
    assert step(copy, "features", split={"method": "leave-one-out"})["split"] == "leave-one-out"


def test_a_segment_without_users_is_refused(copy: Path) -> None:
    step(copy, "features")
    nobody = {"kids": {"init": "general", "where": "age < 3"}}
    with pytest.raises(SegmentError, match="`age < 3` matches none"):
        step(copy, "segments", students=nobody)
    assert not (copy / "data" / "segments").exists()


def test_a_step_without_its_input_says_which_is_missing(copy: Path) -> None:
    with pytest.raises(FileNotFoundError, match="data/features is missing"):
        step(copy, "segments")


def test_a_tampered_model_is_not_distilled_from(shop: Path, tmp_path: Path) -> None:
    root = tmp_path / "tampered"
    shutil.copytree(shop, root)
    weights = root / "data" / "models" / "general" / bundle.WEIGHTS
    content = bytearray(weights.read_bytes())
    content[-1] ^= 1
    weights.write_bytes(content)
    with pytest.raises(bundle.BundleError, match="was changed"):
        step(root, "distill", "women")


@pytest.mark.parametrize(
    ("options", "window"), [([], TEST), (["--window", VALIDATION], VALIDATION)]
)
def test_robustness_is_measured_on_what_the_steps_have_made(
    shop: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], window: str
) -> None:
    (tmp_path / "params.yaml").write_text(json.dumps(PARAMS))
    (tmp_path / "data").symlink_to(shop / "data")
    asked = ["robustness", "--json", "--draws", "1", *options, "--root", str(tmp_path)]
    assert cli.main([*asked, "--out", str(tmp_path / "found")]) == 0
    result = json.loads(capsys.readouterr().out)
    assert result == json.loads((tmp_path / "found/robustness.json").read_text())
    assert {p.suffix for p in (tmp_path / "found").iterdir()} == {".json", ".md", ".svg"}
    assert result["command"] == " ".join(["decant robustness --draws 1", *options])
    assert f"{window} window" in result["protocol"]["data"]
    evaluated = read_json(shop, "evaluation/metrics.json")["models"]
    names = {
        "teacher": "teacher", "general": "general/int8", "women": "women/int8",
        **{f"baseline.{name}": name for name in MEASURED - {HYBRID, COUNTS}},
    }  # fmt: skip
    clean = {n.split(".", 1)[1]: f for n, f in result["figures"].items() if n.endswith(".clean")}
    assert set(clean) == {f"{name}.clean" for name in (*names, "family")}  # few is folded
    for name, model in names.items():
        group = "women" if name == "women" else "all"
        ndcg = clean[f"{name}.clean"]["value"]
        assert ndcg == pytest.approx(evaluated[model][window][group]["ndcg"]), name
    flat = [f["value"] for n, f in result["figures"].items() if "popularity" in n and "kept" in n]
    assert flat == [1.0] * 15
    assert result["figures"]["robustness.teacher.shuffle.50"]["low"] is not None

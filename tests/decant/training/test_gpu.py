"""The same training on a GPU; skipped where there is none."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from decant.distillation.knowledge import extract, load_knowledge
from decant.distillation.student import train_student
from decant.features.sequences import VALIDATION, cases
from decant.models.build import architecture
from decant.models.recommender import Recommender
from decant.params.models import Distill, Training
from decant.training import checkpoint as saving
from decant.training.batches import training_windows
from decant.training.checkpoint import Checkpoints, TimeUpError
from decant.training.loop import Plan, seeded, train
from decant.training.softmax import chunks_of
from decant.training.state import Report
from decant.training.supervision import Material, Supervision

pytestmark = pytest.mark.skipif(not torch.cuda.is_available(), reason="there is no GPU")


def settings_on(device: str, **changes: Any) -> Distill:
    given = {
        "dimension": 16, "heads": 2, "layers": 1, "dropout": 0.0, "batch_size": 16, "epochs": 6,
        "patience": 20, "precision": "float32", "learning_rate": 0.02, "device": device,
    }  # fmt: skip
    return Distill.model_validate({**given, **changes})


def taught(
    known: Any, settings: Training, checkpoints: Checkpoints | None = None
) -> tuple[Recommender, Report]:
    windows = training_windows(known.sequences, known.encoder.max_length)
    supervision = Supervision(
        lambda rng: windows, cases(known.sequences, VALIDATION, 4), exclude_seen=True
    )
    model = seeded(architecture(settings, known.encoder, None), None, 1)
    plan = Plan(settings.epochs, settings.learning_rate, 1, checkpoints=checkpoints)
    report = train(model, known.sequences, supervision, settings, plan)
    return model, report


def weights(model: Recommender) -> torch.Tensor:
    return torch.cat([p.detach().cpu().flatten() for p in model.parameters()])


def test_a_model_learns_the_same_as_on_a_cpu(cycle: Any) -> None:
    on_gpu, gpu = taught(cycle, settings_on("cuda"))
    _, cpu = taught(cycle, settings_on("cpu"))
    assert on_gpu.bias.device.type == "cuda"
    assert gpu.losses == pytest.approx(cpu.losses, rel=0.02)
    assert gpu.ndcg == pytest.approx(cpu.ndcg, abs=0.05)


def test_automatic_settings_take_the_gpu_and_half_precision(cycle: Any) -> None:
    model, report = taught(cycle, settings_on("auto", precision="auto"))
    assert model.bias.device.type == "cuda"
    assert report.best == pytest.approx(taught(cycle, settings_on("cpu"))[1].best, abs=0.05)


def test_a_training_that_ran_out_of_time_goes_on_where_it_was(
    cycle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(saving, "SAVE_EVERY", 0.0)
    settings = settings_on("cuda", dropout=0.2)
    whole, report = taught(cycle, settings)
    with pytest.raises(TimeUpError):
        taught(cycle, settings, Checkpoints(tmp_path, minutes=0))
    model, gone_on = taught(cycle, settings, Checkpoints(tmp_path))
    torch.testing.assert_close(weights(model), weights(whole), rtol=1e-4, atol=1e-5)
    assert gone_on.ndcg == pytest.approx(report.ndcg, abs=1e-3)


def test_what_a_teacher_knows_is_the_same_wherever_it_is_written_down(
    cycle: Any, tmp_path: Path
) -> None:
    teacher, _ = taught(cycle, settings_on("cuda"))
    result = {}
    for device in ("cuda", "cpu"):
        folder = tmp_path / device
        folder.mkdir()
        extract([teacher.to(device)], cycle.sequences, folder, 5, states=True, relations=True)
        known = load_knowledge(folder)
        rows = np.flatnonzero(known.ids[np.arange(len(cycle.sequences.items))].any(axis=1))
        assert known.states is not None and known.relations is not None
        result[device] = [
            owner[rows] for owner in (known.log_probabilities, known.states, known.relations)
        ]
    for one, other in zip(result["cuda"], result["cpu"], strict=True):
        np.testing.assert_allclose(one, other, atol=0.02)


@pytest.mark.parametrize(
    "changes",
    [
        {"soft_weight": 0.5, "rce_kd_weight": 0.2, "stratified_weight": 0.2},
        {"states_weight": 0.3, "attention_relation_weight": 0.3, "relation_heads": 2},
        {"cvar_fraction": 0.5, "soft_weight": 0.0},
        {"full_softmax_max_items": 4, "negatives": 8},
        {"objective": "masked", "soft_weight": 0.0},
    ],
)
def test_students_are_distilled_by_every_loss(
    cycle: Any, tmp_path: Path, changes: dict[str, Any]
) -> None:
    teacher, _ = taught(cycle, settings_on("cuda"))
    extract([teacher], cycle.sequences, tmp_path, 5, states=True, relations=True)
    material = Material(cycle.encoder, cycle.sequences, {}, load_knowledge(tmp_path), 4)
    settings = settings_on("cuda", **{"soft_weight": 0.5, "init_item_embeddings": True, **changes})
    general, report = train_student(material, settings, 1, log=None, teacher=teacher)
    assert all(np.isfinite(report.losses))
    for rank in (0, 2):
        own = settings.model_copy(update={"adapter_rank": rank})
        start = seeded(architecture(settings, cycle.encoder, None), None, 1)
        start.load_state_dict(general.state_dict())
        model, report = train_student(
            material, own, 1, start=start, members=cycle.members["a"], log=None
        )
        assert report.best >= (report.start_ndcg or 0.0)
        assert model.bias.device.type == "cuda"


def test_a_gpu_scores_many_predictions_at_a_time() -> None:
    hidden, table = (torch.zeros(n, 4, device="cuda") for n in (5000, 17))
    assert [rows.start for rows in chunks_of(hidden, table)] == [0]
    assert len(list(chunks_of(hidden.cpu(), table.cpu()))) == 20

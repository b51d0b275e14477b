"""A training that is killed, and one that several processes do together."""

import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from decant.features.sequences import VALIDATION, cases
from decant.models.build import architecture
from decant.params.models import Training
from decant.training import checkpoint as saving
from decant.training.batches import training_windows
from decant.training.checkpoint import STATE, Checkpoints, TimeUpError
from decant.training.loop import Plan, seeded, train
from decant.training.supervision import Supervision

REPOSITORY = Path(__file__).resolve().parents[3]
PROGRAM = """
import sys
from pathlib import Path
import numpy as np
from safetensors.numpy import save_file
from decant.features.encode import Encoder
from decant.features.sequences import VALIDATION, Sequences, cases
from decant.models.build import architecture
from decant.params.models import Training
from decant.training import checkpoint as saving
from decant.training.batches import training_windows
from decant.training.checkpoint import Checkpoints
from decant.training.supervision import Supervision
from decant.training.loop import Plan, seeded, train
folder = Path(sys.argv[1])
settings = Training.model_validate_json(sys.argv[2])
saving.SAVE_EVERY = 0.0
encoder = Encoder.load(folder / "encoder.json")
sequences = Sequences.load(folder / "sequences")
windows = training_windows(sequences, encoder.max_length)
supervision = Supervision(lambda rng: windows, cases(sequences, VALIDATION, 4), True)
model = seeded(architecture(settings, encoder, None), None, 1)
plan = Plan(settings.epochs, 0.02, 1, checkpoints=Checkpoints(folder / "state"))
report = train(model, sequences, supervision, settings, plan)
weights = {name: t.detach().numpy() for name, t in model.state_dict().items()}
import os
rank = os.environ.get("RANK", "0")
save_file({**weights, "report": np.array(report.ndcg)}, folder / f"weights{rank}.safetensors")
"""


def settings_with(**changes: Any) -> Training:
    given = {
        "dimension": 8, "heads": 2, "layers": 1, "dropout": 0.2, "batch_size": 4, "epochs": 3,
        "patience": 20, "precision": "float32", "device": "cpu",
    }  # fmt: skip
    return Training.model_validate({**given, **changes})


def taught(cycle: Any, settings: Training, saved: Checkpoints | None = None) -> torch.Tensor:
    windows = training_windows(cycle.sequences, cycle.encoder.max_length)
    supervision = Supervision(
        lambda rng: windows, cases(cycle.sequences, VALIDATION, 4), exclude_seen=True
    )
    model = seeded(architecture(settings, cycle.encoder, None), None, 1)
    plan = Plan(settings.epochs, 0.02, 1, checkpoints=saved)
    train(model, cycle.sequences, supervision, settings, plan)
    return torch.cat([p.detach().flatten() for p in model.parameters()])


def prepared(cycle: Any, folder: Path) -> Path:
    cycle.encoder.save(folder / "encoder.json")
    cycle.sequences.save(folder / "sequences")
    (folder / "program.py").write_text(PROGRAM)
    return folder


def environment() -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in ("RANK", "WORLD_SIZE", "LOCAL_RANK")}
    return {**kept, "PYTHONPATH": str(REPOSITORY), "OMP_NUM_THREADS": "1"}


def weights_in(folder: Path, rank: int = 0) -> dict[str, np.ndarray]:
    from safetensors.numpy import load_file

    return load_file(folder / f"weights{rank}.safetensors")


def test_a_training_that_is_killed_ends_with_the_weights_of_one_that_is_not(
    cycle: Any, tmp_path: Path
) -> None:
    settings = settings_with(epochs=40)
    folder = prepared(cycle, tmp_path)
    command = [sys.executable, "program.py", str(folder), settings.model_dump_json()]
    state = folder / "state" / STATE
    for _ in range(2):  # killed twice, at moments that nobody chose
        before = state.stat().st_mtime_ns if state.exists() else 0
        running = subprocess.Popen(command, cwd=folder, env=environment())
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and running.poll() is None:
            if state.exists() and state.stat().st_mtime_ns > before:
                break
            time.sleep(0.01)
        time.sleep(0.2)
        assert running.poll() is None, "it ended before it was killed"
        running.kill()
        running.wait()
    assert not (folder / "weights0.safetensors").exists()
    subprocess.run(command, cwd=folder, env=environment(), check=True)
    expected = taught(cycle, settings)
    result = weights_in(folder)
    model = seeded(architecture(settings, cycle.encoder, None), None, 1)
    flat = torch.cat([torch.from_numpy(result[n]).flatten() for n, _ in model.named_parameters()])
    assert torch.equal(flat, expected)


@pytest.mark.parametrize("stop_after", [1, 7, 20])
@pytest.mark.parametrize(
    "changes", [{}, {"objective": "masked"}, {"full_softmax_max_items": 4, "negatives": 8}]
)
def test_wherever_it_stops_it_goes_on_as_if_it_had_not(
    cycle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stop_after: int,
    changes: dict[str, Any],
) -> None:  # fmt: skip
    settings = settings_with(epochs=2, **changes)
    undisturbed = taught(cycle, settings)
    monkeypatch.setattr(saving, "SAVE_EVERY", 0.0)
    asked = iter(range(10**6))
    monkeypatch.setattr(Checkpoints, "time_is_up", lambda self: next(asked) >= 2 * stop_after)
    with pytest.raises(TimeUpError, match=r"^stopped in epoch \d of 2 .* the same command goes on"):
        taught(cycle, settings, Checkpoints(tmp_path, minutes=1))
    monkeypatch.setattr(Checkpoints, "time_is_up", lambda self: False)
    assert torch.equal(taught(cycle, settings, Checkpoints(tmp_path)), undisturbed)


def test_a_checkpoint_of_other_settings_or_code_is_not_taken_up(cycle: Any, tmp_path: Path) -> None:
    taught(cycle, settings_with(), Checkpoints(tmp_path, "code"))
    before = (tmp_path / STATE).read_bytes()
    other = settings_with(dropout=0.3)
    assert torch.equal(taught(cycle, other, Checkpoints(tmp_path, "code")), taught(cycle, other))
    assert (tmp_path / STATE).read_bytes() != before
    kept = (tmp_path / STATE).read_bytes()
    taught(cycle, other, Checkpoints(tmp_path, "changed"))
    assert (tmp_path / STATE).read_bytes() != kept


def test_a_checkpoint_of_another_number_format_is_not_taken_up(
    cycle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("decant.training.device.bfloat16_pays", lambda device: False)
    settings = settings_with(precision="auto")
    taught(cycle, settings, Checkpoints(tmp_path))
    kept = (tmp_path / STATE).read_bytes()
    taught(cycle, settings, Checkpoints(tmp_path))
    assert (tmp_path / STATE).read_bytes() == kept
    monkeypatch.setattr("decant.training.device.bfloat16_pays", lambda device: True)
    taught(cycle, settings, Checkpoints(tmp_path))
    assert (tmp_path / STATE).read_bytes() != kept


def test_a_damaged_checkpoint_costs_time_and_nothing_else(cycle: Any, tmp_path: Path) -> None:
    undisturbed = taught(cycle, settings_with(epochs=2), Checkpoints(tmp_path))
    content = bytearray((tmp_path / STATE).read_bytes())
    header = 8 + int.from_bytes(content[:8], "little")
    for place in range(header, len(content)):  # within the tensors
        content[place] ^= 1
    (tmp_path / STATE).write_bytes(content)
    again = taught(cycle, settings_with(epochs=2), Checkpoints(tmp_path))
    assert torch.equal(again, undisturbed)


def test_a_training_that_has_ended_is_not_done_again(
    cycle: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    once = taught(cycle, settings_with(), Checkpoints(tmp_path))
    monkeypatch.setattr("decant.training.loop.take_step", None)
    assert torch.equal(taught(cycle, settings_with(), Checkpoints(tmp_path)), once)


def test_two_processes_learn_what_one_does(cycle: Any, tmp_path: Path) -> None:
    settings = settings_with(epochs=4, dropout=0.0, batch_size=5)
    folder = prepared(cycle, tmp_path)
    together = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*together, "program.py", str(folder), settings.model_dump_json()],
        cwd=folder, env=environment(), capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    first, second = weights_in(folder, 0), weights_in(folder, 1)
    model = seeded(architecture(settings, cycle.encoder, None), None, 1)
    names = [name for name, _ in model.named_parameters()]
    flat = [torch.cat([torch.from_numpy(w[n]).flatten() for n in names]) for w in (first, second)]
    assert torch.equal(*flat)
    # without dropout it is the same sum of the same gradients, in another order
    torch.testing.assert_close(flat[0], taught(cycle, settings), rtol=2e-3, atol=2e-3)

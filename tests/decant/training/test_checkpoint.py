from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from decant.training import checkpoint
from decant.training.checkpoint import (
    STATE,
    Checkpoints,
    digest,
    optimizer_tensors,
    packed,
    restore_optimizer,
    unpacked,
)


def test_what_is_written_is_read_under_its_key_alone(tmp_path: Path) -> None:
    saved = Checkpoints(tmp_path)
    saved.write("one", {"a": torch.arange(3)}, {"step": 4, "big": 2**100})
    result = saved.read("one")
    assert result is not None
    assert (result[0]["a"].tolist(), result[1]) == ([0, 1, 2], {"step": 4, "big": 2**100})
    assert saved.read("two") is None


def flipped(content: bytes) -> bytes:
    """The last byte of the tensors is another one."""
    return content[:-1] + bytes([content[-1] ^ 1])


@pytest.mark.parametrize(
    "change",
    [
        lambda content: b"",
        lambda content: content[: len(content) // 2],
        lambda content: b"\x80\x04pickle",
        flipped,
        lambda content: content.replace(b"step", b"stop"),
    ],
)
def test_a_damaged_file_is_left_out_with_a_line(
    tmp_path: Path, change: Callable[[bytes], bytes]
) -> None:
    said: list[str] = []
    saved = Checkpoints(tmp_path)
    saved.write("one", {"a": torch.arange(30)}, {"step": 4})
    (tmp_path / STATE).write_bytes(change((tmp_path / STATE).read_bytes()))
    assert saved.read("one", said.append) is None
    assert len(said) == 1 and "\n" not in said[0]
    assert said[0].startswith(
        f"checkpoint {tmp_path / STATE} ignored, training starts from scratch"
    )


@pytest.mark.parametrize("kind", ["folder", "dangling"])
def test_what_is_no_file_is_left_out_with_a_line_and_does_not_stop_training(
    tmp_path: Path, kind: str
) -> None:
    said: list[str] = []
    if kind == "folder":
        (tmp_path / STATE / "x").mkdir(parents=True)
    else:
        (tmp_path / STATE).symlink_to(tmp_path / "nowhere")
    saved = Checkpoints(tmp_path)
    assert saved.read("one", said.append) is None
    saved.write("one", {"a": torch.zeros(2)}, {}, said.append)
    saved.write("one", {"a": torch.zeros(2)}, {}, said.append)
    assert "ignored, training starts from scratch" in said[0]
    assert len(said) == (2 if kind == "folder" else 1), "a link is replaced, a folder is not"


def test_a_checkpoint_of_another_training_or_version_says_which(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    saved = Checkpoints(tmp_path)
    saved.write("one", {}, {})
    assert saved.read("two", said.append) is None
    monkeypatch.setattr(checkpoint, "FORMAT", "another")
    assert saved.read("one", said.append) is None
    assert [line.partition("scratch: ")[2] for line in said] == [
        "it is of other data, settings or code", "it was written by another version of Decant",
    ]  # fmt: skip


def test_no_checkpoint_is_nothing_to_speak_of(tmp_path: Path) -> None:
    said: list[str] = []
    assert Checkpoints(tmp_path / "none").read("one", said.append) is None
    assert said == []


def test_nothing_half_written_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    saved = Checkpoints(tmp_path)
    saved.write("one", {"a": torch.zeros(2)}, {})

    def full(path: Path, content: bytes) -> int:
        path.open("wb").write(content[:10])
        raise OSError(28, "No space left on device", str(path))

    monkeypatch.setattr(Path, "write_bytes", full)
    said: list[str] = []
    for _ in range(2):
        saved.write("one", {"a": torch.ones(2)}, {}, said.append)
    assert len(said) == 1 and "training continues without" in said[0]
    assert "free disk space" in said[0]
    assert [path.name for path in tmp_path.iterdir()] == [STATE]
    result = saved.read("one")
    assert result is not None and not result[0]["a"].any()
    with pytest.raises(OSError, match="No space"):  # it could not be gone on from
        Checkpoints(tmp_path, minutes=3).write("one", {"a": torch.ones(2)}, {})


def test_it_is_time_to_save_after_a_while_and_when_time_is_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now = [0.0]
    monkeypatch.setattr(checkpoint.time, "monotonic", lambda: now[0])
    saved = Checkpoints(tmp_path, minutes=3)
    saved._began = saved._saved = 0.0
    assert not saved.due()
    now[0] = checkpoint.SAVE_EVERY
    assert saved.due() and not saved.time_is_up()
    saved.write("one", {}, {})
    assert not saved.due()
    now[0] = 180.0
    saved._saved = 179.0
    assert saved.due() and saved.time_is_up()


def test_a_digest_tells_every_part_apart() -> None:
    parts = [
        [1, 2], [12], ["1", 2], [np.arange(3)], [np.arange(3.0)], [np.arange(4)],
        [np.arange(3)[None]], [torch.arange(3.0)], [{"a": 1}], [{"a": 2}],
    ]  # fmt: skip
    assert len({digest(part) for part in parts}) == len(parts)
    assert digest([{"a": 1, "b": 2}]) == digest([{"b": 2, "a": 1}])


def test_an_optimizer_goes_on_as_if_it_had_not_stopped() -> None:
    def made() -> tuple[torch.Tensor, torch.optim.Optimizer]:
        weight = torch.nn.Parameter(torch.ones(3))
        return weight, torch.optim.AdamW([weight], lr=0.1, fused=True)

    def step(weight: torch.Tensor, optimizer: torch.optim.Optimizer) -> None:
        optimizer.zero_grad()
        (weight**2).sum().backward()
        optimizer.step()

    weight, optimizer = made()
    step(weight, optimizer)
    other, second = made()
    kept = {name: t.clone() for name, t in optimizer_tensors(optimizer).items()}
    restore_optimizer(second, unpacked("o.", packed("o.", kept)))
    with torch.no_grad():
        other.copy_(weight)
    for _ in range(3):
        step(weight, optimizer)
        step(other, second)
    assert torch.equal(weight, other)

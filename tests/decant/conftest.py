"""Tiny data sets of which the right answer is known, and one family of models trained on them."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from decant.features.encode import Attribute, Encoder
from decant.features.sequences import Sequences

QUESTIONS = 6  # items 1-6; group a answers with items 7-12, group b with 13-18
MakeSequences = Callable[..., Sequences]


@dataclass(frozen=True)
class Known:
    """A data set: `members` are the users of each of its two groups."""

    encoder: Encoder
    sequences: Sequences
    members: dict[str, np.ndarray]


def make_sequences(
    users: Sequence[Sequence[int]],
    *,
    split: Any = None,
    behaviours: Any = None,
    target: Any = None,
    attributes: Any = None,
) -> Sequences:
    """Sequences of users who took these items in this order, the last two held out."""
    lengths = np.array([len(items) for items in users])
    offsets = np.r_[0, lengths.cumsum()].astype(np.int64)
    items = np.array([item for user in users for item in user], dtype=np.int32)
    ones = np.ones(len(items), dtype=np.int8)
    if split is None:
        split = np.stack([np.maximum(lengths - 2, 0), np.maximum(lengths - 1, 0)], axis=1)
    if attributes is None:
        attributes = np.zeros((len(users), 0))
    return Sequences(
        offsets=offsets,
        items=items,
        behaviours=ones if behaviours is None else np.asarray(behaviours, dtype=np.int8),
        ratings=0 * ones,
        gaps=0 * ones,
        times=np.arange(len(items), dtype=np.float64),
        target=np.ones(len(items), dtype=bool) if target is None else np.asarray(target),
        attributes=np.asarray(attributes, dtype=np.int16),
        split=np.asarray(split, dtype=np.int64).reshape(len(users), 2),
    )


def make_encoder(items: int, max_length: int, **changes: Any) -> Encoder:
    """An encoder of items `1`, `2` … and one behaviour."""
    settings: dict[str, Any] = {
        "behaviours": ("view",),
        "attributes": {},
        "merge_window": 0.0,
        "exclude_seen": True,
        **changes,
    }
    ids = tuple(str(i) for i in range(1, items + 1))
    return Encoder(items=ids, max_length=max_length, **settings)


@pytest.fixture(name="make_sequences", scope="session")
def sequences_maker() -> MakeSequences:
    """The function `make_sequences`."""
    return make_sequences


@pytest.fixture(name="make_encoder", scope="session")
def encoder_maker() -> Callable[..., Encoder]:
    """The function `make_encoder`."""
    return make_encoder


@pytest.fixture(scope="session")
def cycle() -> Known:
    """Everybody walks around a circle of 16 items; group a forwards, group b backwards."""
    items, steps = 16, 8
    users = [
        [1 + (start + direction * step) % items for step in range(steps)]
        for direction in (1, -1)
        for start in range(items)
        for _ in range(4)
    ]
    half = len(users) // 2
    members = {"a": np.arange(half), "b": np.arange(half, 2 * half)}
    return Known(make_encoder(items, steps), make_sequences(users), members)


@pytest.fixture(scope="session")
def contradiction() -> Known:
    """Users see a question, then take its answer, which another group answers otherwise.

    The history is the question alone, so it does not tell the group; an attribute does.
    """
    users, split, group = [], [], []
    for g in (1, 2):
        for _ in range(24):  # two thirds train, the others are held out
            part = (len(users) // QUESTIONS) % 6
            for question in range(1, QUESTIONS + 1):
                users.append([question, question + g * QUESTIONS])
                split.append([2, 2] if part < 4 else [1, 2] if part == 4 else [1, 1])
                group.append([g])
    who = np.array(group)[:, 0]
    encoder = make_encoder(
        3 * QUESTIONS, 4, attributes={"group": Attribute(values=("a", "b"))}, exclude_seen=True
    )
    members = {"a": np.flatnonzero(who == 1), "b": np.flatnonzero(who == 2)}
    return Known(encoder, make_sequences(users, split=split, attributes=group), members)


@dataclass(frozen=True)
class Family:
    """Models trained on one data set: `teacher`, `general`, the groups' students, compressed."""

    known: Known
    models: dict[str, Any]
    reports: dict[str, Any]
    material: Any
    settings: Any
    compressed: Path  # <student>/{pruned,int8}
    hops: dict[str, Any]


@pytest.fixture(scope="session")
def cycle_family(cycle: Known, tmp_path_factory: pytest.TempPathFactory) -> Family:
    """The teacher and general on the circle."""
    return train_family(cycle, tmp_path_factory.mktemp("cycle"), ())


@pytest.fixture(scope="session")
def family(contradiction: Known, tmp_path_factory: pytest.TempPathFactory) -> Family:
    """The whole family on the contradiction."""
    return train_family(contradiction, tmp_path_factory.mktemp("family"), ("a", "b"))


def train_family(known: Known, folder: Path, segments: tuple[str, ...]) -> Family:
    """Teacher, knowledge, general, a student per segment; the first is compressed."""
    from copy import deepcopy

    import torch

    from decant.compression.compress import compress_student
    from decant.distillation.knowledge import extract, load_knowledge
    from decant.distillation.student import Material, distill_general, distill_segment
    from decant.models.build import architecture
    from decant.params import Compress, Distill, Training
    from decant.training.lesson import everybody
    from decant.training.loop import seeded, train

    torch.set_num_threads(1)
    shared: dict[str, Any] = {
        "dimension": 16,
        "heads": 2,
        "dropout": 0.0,
        "epochs": 16,
        "patience": 16,
        "batch_size": 16,
        "learning_rate": 0.02,
        "precision": "float32",
        "device": "cpu",
    }
    teaching = Training(**shared, layers=2, inputs=["item", "attributes"])
    learning = Distill(
        **shared,
        layers=1,
        segment_learning_rate=0.01,
        segment_epochs=12,
        anchor=1e-4,
        others=0.1,
        soft_weight=0.5,
    )
    sequences, length = known.sequences, known.encoder.max_length
    teacher = seeded(architecture(teaching, known.encoder, None), None, 1)
    lesson = everybody(sequences, length, 4, exclude_seen=known.encoder.exclude_seen)
    reports = {
        "teacher": train(
            teacher, sequences, lesson, teaching, epochs=16, learning_rate=0.01, seed=1
        )
    }
    knowledge = folder / "knowledge"
    knowledge.mkdir()
    extract([teacher], sequences, knowledge, 8)
    material = Material(known.encoder, sequences, {}, load_knowledge(knowledge), 4)
    silent: Callable[[str], None] = lambda line: None  # noqa: E731
    models = {"teacher": teacher}
    models["general"], reports["general"] = distill_general(material, learning, 1, silent)
    for name in segments:
        start = deepcopy(models["general"])
        members = known.members[name]
        models[name], reports[name] = distill_segment(start, members, material, learning, 1, silent)
    hops = {}
    for name in segments[:1]:
        output = folder / "compressed" / name
        hops[name] = compress_student(
            models[name],
            known.members.get(name),
            material,
            Compress(hidden_kept=0.5, heads_kept=0.5, recover_epochs=4, max_loss=0.05),
            learning,
            1,
            output,
            silent,
        )
    return Family(known, models, reports, material, learning, folder / "compressed", hops)

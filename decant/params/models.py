"""Settings of the models: teacher, knowledge, students, compression."""

from typing import Annotated, Any, Literal

from pydantic import (
    Field,
    model_validator,
)

from decant.params.types import (
    Block,
    Count,
    Expert,
    Folder,
    Input,
    Modality,
    NonNegative,
    Objective,
    Positive,
    Share,
)


class Training(Block):
    """Architecture and training of one model, teacher or student."""

    dimension: Annotated[int, Field(ge=8, le=4096)] = 64
    layers: Annotated[int, Field(ge=1, le=64)] = 2
    heads: Annotated[int, Field(ge=1, le=64)] = 2
    dropout: Annotated[float, Field(ge=0, lt=1)] = 0.1
    inputs: list[Input | Modality] = ["item"]
    objective: Objective = "next"
    mask_ratio: Annotated[float, Field(gt=0, lt=1)] = 0.3
    full_softmax_max_items: Annotated[int, Field(ge=1)] = 50_000
    negatives: Annotated[int, Field(ge=1, le=1_000_000)] = 1024
    epochs: Count = 10
    batch_size: Annotated[int, Field(ge=1, le=65536)] = 64
    learning_rate: Annotated[float, Field(gt=0, le=1)] = 1e-3
    weight_decay: NonNegative = 0.01
    patience: Count = 3
    precision: Literal["auto", "float32", "bfloat16"] = "auto"
    device: Literal["auto", "cpu", "gpu", "cuda", "mps"] = "auto"
    threads: Annotated[int, Field(ge=1, le=1024)] = 1
    processes: Annotated[int, Field(ge=1, le=1024)] = 1
    id_dropout: Annotated[float, Field(ge=0, lt=1)] = 0.0
    experts: list[Expert] = []
    successors: Annotated[int, Field(ge=1, le=1000)] = 8
    factors: Annotated[int, Field(ge=0, le=512)] = 16

    @model_validator(mode="after")
    def _shape_fits(self) -> "Training":
        if self.dimension % self.heads:
            raise ValueError(f"dimension {self.dimension} is not a multiple of heads {self.heads}")
        if "item" not in self.inputs:
            raise ValueError("inputs must contain item")
        if len(set(self.experts)) < len(self.experts):
            raise ValueError("experts has a name twice")
        return self


class Teacher(Training):
    """The teacher's settings; `ensemble`: number of models trained first, which it learns from."""

    ensemble: Annotated[int, Field(ge=0, le=16)] = 0
    soft_weight: Share = 0.7
    warm_start: Folder | None = None


class Distill(Training):
    """Training of the general student, and the differences for a segment's."""

    soft_weight: Share = 0.7
    rce_kd_weight: Share = 0.0
    stratified_weight: Share = 0.0
    states_weight: NonNegative = 0.0
    attention_relation_weight: NonNegative = 0.0
    relation_heads: Annotated[int, Field(ge=1, le=64)] = 4
    temperature: Positive = 1.0
    init_layers: list[Annotated[int, Field(ge=0)]] = []
    init_item_embeddings: bool = False
    cvar_fraction: Annotated[float, Field(gt=0, le=1)] = 1.0
    adapter_rank: Annotated[int, Field(ge=0, le=256)] = 0
    segment_learning_rate: Annotated[float, Field(gt=0, le=1)] = 5e-4
    segment_epochs: Annotated[int, Field(ge=0)] = 6
    l2_sp: NonNegative = 0.01
    shrink: bool = False
    background_ratio: Share = 0.1
    max_length: Count | None = None
    prior_weight: NonNegative = 0.0
    prior_shrinkage: Positive = 1000.0
    min_users: Count = 100
    taste_groups: Annotated[int, Field(ge=0, le=1000)] = 0

    @property
    def needs_teacher(self) -> bool:
        """Whether a student starts from parameters of the teacher."""
        return self.init_item_embeddings or bool(self.init_layers)


class Knowledge(Block):
    """The teacher's outputs that are stored."""

    top_k: Annotated[int, Field(ge=1, le=10_000)] = 50
    experts: bool = True
    states: bool = False
    relations: bool = False


class Student(Block):
    """One student.

    `init`: the model it starts from, `teacher` or another student; None: from scratch.
    `where`: the rule of its users; None: all users. `labels`: the teacher's soft labels, or only
    the events (hard). `overrides`: its own values of settings in `distill`.
    """

    init: str | None
    where: str | None = None
    priority: int = 0
    labels: Literal["soft", "hard"] = "soft"
    overrides: dict[str, Any] = {}


class Compress(Block):
    """Pruning and quantisation of one student."""

    heads_kept: Annotated[float, Field(gt=0, le=1)] = 1.0
    hidden_kept: Annotated[float, Field(gt=0, le=1)] = 0.5
    recover_epochs: Annotated[int, Field(ge=0, le=100)] = 2
    max_loss: Share = 0.02

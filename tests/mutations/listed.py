"""All mutations, in the order of the layers."""

from tests.mutations.lists import (
    benchmarks,
    compression,
    data,
    decisions,
    distillation,
    evaluation,
    features,
    gate,
    groups,
    registry,
    release,
    serving,
    training,
)

MUTATIONS = (
    *data.MUTATIONS,
    *features.MUTATIONS,
    *training.MUTATIONS,
    *distillation.MUTATIONS,
    *evaluation.MUTATIONS,
    *compression.MUTATIONS,
    *gate.MUTATIONS,
    *release.MUTATIONS,
    *registry.MUTATIONS,
    *serving.MUTATIONS,
    *decisions.MUTATIONS,
    *benchmarks.MUTATIONS,
    *groups.MUTATIONS,
)

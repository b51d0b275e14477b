"""All mutations, in the order of the layers."""

from tests.mutations.lists import (
    compression,
    data,
    decisions,
    distillation,
    evaluation,
    features,
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
    *release.MUTATIONS,
    *serving.MUTATIONS,
    *decisions.MUTATIONS,
)

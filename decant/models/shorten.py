"""Shorten the history that a model reads, which reduces its cost."""

from dataclasses import replace

from decant.models.recommender import Recommender


def shorten(model: Recommender, length: int) -> Recommender:
    """A copy that reads only the newest `length` events, with the same weights.

    Raises:
        ValueError: the model reads fewer events.
    """
    a = model.architecture
    if not 1 <= length <= a.max_length:
        raise ValueError(f"a model that reads {a.max_length} events cannot read {length}")
    shorter = Recommender(replace(a, max_length=length))
    state, less = model.state_dict(), a.max_length - length
    for layer in range(len(a.heads)):
        key = f"blocks.{layer}.attention.bias"
        state[key] = state[key][:, less : -less or None] if a.masked else state[key][:, less:]
    shorter.load_state_dict(state)
    return shorter.eval()

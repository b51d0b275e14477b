"""Accepted tables → the encoder, the sequences of all users, and readable feature tables."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.data.split import split
from decant.features.encode import (
    Attribute,
    Encoder,
    Events,
    basket_numbers,
    gap_indices,
    order_behaviours,
    rating_indices,
    tidy,
)
from decant.features.sequences import Sequences
from decant.params.data import Features, Split
from decant.suggest import suggest

WEIGHTS = {"view": 1.0, "click": 1.0, "cart": 3.0, "purchase": 5.0}  # of behaviours, for tags
SCALED = "_scaled"  # suffix of imputed and normalised columns
MOST_VALUES = int(np.iinfo(np.int16).max)  # of a behaviour or an attribute: indices are int16


class FeaturesError(ValueError):
    """The requested features cannot be computed from these tables."""


@dataclass(frozen=True)
class Prepared:
    """Result of `prepare`: users and items have one row per index, from 0 and from 1.

    `users` has the raw attributes, for segment rules; `user_features` the features computed from
    attributes and behaviour.
    """

    encoder: Encoder
    sequences: Sequences
    users: pd.DataFrame
    user_features: pd.DataFrame
    items: pd.DataFrame


def prepare(
    events: pd.DataFrame,
    users: pd.DataFrame,
    items: pd.DataFrame,
    features: Features,
    cut: Split,
    missing: Sequence[str] = (),
) -> Prepared:
    """Fit the encoder and encode the behaviour of all users.

    Users are numbered in order of first appearance: their pseudonyms depend on a key.
    `missing`: spellings of a missing value, accepted in requests as in the tables.

    Raises:
        FeaturesError: an attribute or target behaviour does not exist or has too many values, or
            `baskets` is set and events have no time.
        SplitError: the data cannot be split as configured.
    """
    user_index, user_ids = pd.factorize(events[Columns.USER])
    item_ids = np.sort(events[Columns.ITEM].unique().astype(str))
    user_table = pd.DataFrame({Columns.USER: user_ids}).merge(users, on=Columns.USER, how="left")
    encoder = replace(fit_encoder(events, user_table, item_ids, features), missing=tuple(missing))
    behaviour = {name: i for i, name in enumerate(encoder.behaviours, start=1)}
    raw = Events(
        users=user_index,
        items=np.searchsorted(item_ids, events[Columns.ITEM].to_numpy(dtype=str)) + 1,
        behaviours=events[Columns.BEHAVIOUR].map(behaviour).to_numpy(dtype=np.int64),
        times=events[Columns.TIME].to_numpy(dtype=np.float64),
        ratings=events[Columns.RATING].to_numpy(dtype=np.float64),
    )
    merged = tidy(encoder, raw)
    gaps = gap_indices(merged.users, merged.times)
    encoder = replace(encoder, gaps=len(np.unique(gaps[gaps > 0])) > 1)
    offsets = np.searchsorted(merged.users, np.arange(len(user_ids) + 1))
    sequences = Sequences(
        offsets=offsets,
        items=merged.items.astype(np.int32),
        behaviours=merged.behaviours.astype(np.int16),
        ratings=rating_indices(encoder.rating_edges, merged.ratings).astype(np.int8),
        gaps=gaps.astype(np.int8),
        times=merged.times,
        target=targets(merged, encoder, features),
        attributes=encode_attributes(encoder, user_table),
        split=split(offsets, merged.times, cut),
        baskets=basket_numbers(merged.users, merged.times, encoder.baskets).astype(np.int32),
    )
    item_table = describe_items(item_ids, merged, items, features)
    tags = interest_tags(merged, encoder, item_table, features.interest_tags)
    user_features = describe_users(user_table, sequences, features)
    user_features["tags"] = pd.Series(tags, index=user_features.index, dtype=object)
    return Prepared(encoder, sequences, user_table, user_features, item_table)


def fit_encoder(
    events: pd.DataFrame, users: pd.DataFrame, item_ids: np.ndarray, features: Features
) -> Encoder:
    """The encoder of these tables; see `Encoder` for its parts."""
    behaviours = order_behaviours(sorted(events[Columns.BEHAVIOUR].unique()))
    _few_enough("behaviour", len(behaviours), "group them, or name another column")
    _known("features.target_behaviours", features.target_behaviours, behaviours)
    available = [column for column in users.columns if column != Columns.USER]
    _known("features.attributes", features.attributes, available)
    if features.baskets and (timeless := int(events[Columns.TIME].isna().sum())):
        raise FeaturesError(
            f"features.baskets is true, but {timeless:,} of {len(events):,} events have no time, "
            "so that nobody knows what was taken together; set features.baskets: false"
        )
    ratings = np.unique(events[Columns.RATING].dropna())
    if len(ratings) > 20:
        ratings = np.quantile(ratings, np.linspace(0, 1, 20))
    attributes = {
        name: fit_attribute(users[name], features.attribute_bins) for name in features.attributes
    }
    for name, attribute in attributes.items():
        hint = "it looks like an id: group its values, or leave it out"
        _few_enough(name, attribute.size - 1, hint)
    return Encoder(
        items=tuple(item_ids.tolist()),
        behaviours=behaviours,
        attributes=attributes,
        max_length=features.max_length,
        merge_window=features.merge_window,
        exclude_seen=features.exclude_seen,
        baskets=features.baskets,
        rating_edges=tuple(float(edge) for edge in ratings[1:]),
    )


def fit_attribute(column: pd.Series, bins: int) -> Attribute:
    """Bin numbers by quantiles; list the values of anything else."""
    known = column.dropna()
    if pd.api.types.is_numeric_dtype(column):
        inner = np.linspace(0, 1, bins + 1)[1:-1]
        edges = np.unique(np.quantile(known, inner)) if len(known) else np.zeros(0)
        return Attribute(edges=tuple(float(edge) for edge in edges))
    return Attribute(values=tuple(sorted(known.astype(str).unique())))


def encode_attributes(encoder: Encoder, users: pd.DataFrame) -> np.ndarray:
    """Index of each user's attributes, int16 [U, A]."""
    columns = [
        [attribute.index(value) for value in users[name].astype(object)]
        for name, attribute in encoder.attributes.items()
    ]
    return np.array(columns, dtype=np.int16).reshape(len(columns), len(users)).T


def targets(events: Events, encoder: Encoder, features: Features) -> np.ndarray:
    """Which events may be predicted, bool [E].

    Events of a target behaviour; if seen items are never recommended, only a user's first event
    on an item, since no ranking can contain the item afterwards.
    """
    wanted = features.target_behaviours or list(encoder.behaviours)
    indices = [i for i, name in enumerate(encoder.behaviours, start=1) if name in wanted]
    target = np.isin(events.behaviours, indices)
    if features.exclude_seen:
        pair = events.users * np.int64(len(encoder.items) + 1) + events.items
        first = np.zeros(len(pair), dtype=bool)
        first[np.unique(pair, return_index=True)[1]] = True
        target &= first
    return target


def describe_items(
    item_ids: np.ndarray, events: Events, items: pd.DataFrame, features: Features
) -> pd.DataFrame:
    """One row per item: item, its columns, text, count; numbers also as *_scaled, imputed and
    normalised."""
    table = pd.DataFrame({Columns.ITEM: item_ids}).merge(items, on=Columns.ITEM, how="left")
    words = [c for c in table.columns if c != Columns.ITEM and not _numeric(table[c])]
    table["text"] = table[words].astype(object).fillna("").agg(" ".join, axis=1).str.strip()
    table["count"] = np.bincount(events.items, minlength=len(item_ids) + 1)[1:]
    return _impute_and_scale(table, features, skip=("count",))


def describe_users(users: pd.DataFrame, sequences: Sequences, features: Features) -> pd.DataFrame:
    """One row per user: raw attributes; numbers also as *_scaled, imputed and normalised."""
    counts = np.diff(sequences.offsets)
    return _impute_and_scale(users.assign(events=counts.astype(np.float64)), features)


def interest_tags(
    events: Events, encoder: Encoder, items: pd.DataFrame, most: int
) -> list[list[str]]:
    """Each user's favourite categories (or words of the items' text), highest weight first."""
    column = next((c for c in ("category", "genres") if c in items.columns), "text")
    words = items[column].astype(object).fillna("").astype(str).str.split(r"[|\s]+", regex=True)
    weight = np.array([WEIGHTS.get(name, 2.0) for name in encoder.behaviours])
    pairs = pd.DataFrame(
        {
            "user": events.users,
            "tag": words.to_numpy()[events.items - 1],
            "weight": weight[events.behaviours - 1],
        }
    ).explode("tag")
    sums = pairs[pairs["tag"].fillna("") != ""].groupby(["user", "tag"])["weight"].sum()
    order = ["user", "weight", "tag"]
    ranked = sums.reset_index().sort_values(order, ascending=[True, False, True])
    best = ranked.groupby("user").head(most).groupby("user")["tag"].agg(list)
    users = int(events.users.max()) + 1
    return [best.get(user, []) for user in range(users)]


def _impute_and_scale(
    table: pd.DataFrame, features: Features, skip: tuple[str, ...] = ()
) -> pd.DataFrame:
    for column in [c for c in table.columns if _numeric(table[c]) and c not in skip]:
        values = table[column].astype(np.float64)
        if values.notna().any():
            filled = impute(values, features.impute)
            spread = filled.std(ddof=0) or 1.0
            table = table.assign(**{f"{column}{SCALED}": (filled - filled.mean()) / spread})
    return table


def impute(values: pd.Series, method: str) -> pd.Series:
    """Fill missing numbers by the mean, the median or linear interpolation between rows."""
    if method == "interpolate":
        return values.interpolate(limit_direction="both")
    return values.fillna(values.mean() if method == "mean" else values.median())


def _numeric(column: pd.Series) -> bool:
    return pd.api.types.is_numeric_dtype(column)


def _few_enough(column: str, values: int, hint: str) -> None:
    if values > MOST_VALUES:
        raise FeaturesError(
            f"`{column}` has {values:,} different values, at most {MOST_VALUES:,} are supported; "
            f"{hint}"
        )


def _known(setting: str, names: list[str], known: list[str] | tuple[str, ...]) -> None:
    for name in names:
        if name not in known:
            hint = suggest(name, known, also_list=True)
            raise FeaturesError(f"{setting}: the data has no `{name}`; {hint}")

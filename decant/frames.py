"""From DataFrames to the data that models are trained on."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd

from decant.columns import Columns
from decant.data.clean import Cleaned, clean, judge
from decant.data.membership import assign
from decant.data.prepare import prepare as prepare_features
from decant.data.rules import rules_for
from decant.data.sources import own_files
from decant.data.tables import NAMES, Tables
from decant.data.vectors import align
from decant.features.encode import Encoder
from decant.features.sequences import Sequences
from decant.features.taste import fit_taste_groups
from decant.models.text import embed_texts, with_no_item
from decant.params.load import Params
from decant.params.types import OWN

OPTIONAL = ("time", "behaviour", "rating")  # columns that are used where the events have them


@dataclass(frozen=True)
class Data:
    """Prepared tables and what was decided about them.

    `encoder`: items, behaviours and attributes as indices. `sequences`: all users' events with
    their split. `vectors`: float32 [N + 1, width] of the items, by name. `members`: user indices
    of each student that serves a group; `folded`: groups too small for a student of their own.
    `cleaned`: every row that was accepted or quarantined, with the reason.
    """

    params: Params
    encoder: Encoder
    sequences: Sequences
    vectors: dict[str, np.ndarray]
    members: dict[str, np.ndarray]
    folded: list[str]
    cleaned: Cleaned


def prepare(
    events: pd.DataFrame,
    users: pd.DataFrame | None = None,
    items: pd.DataFrame | None = None,
    params: Params | None = None,
) -> Data:
    """Clean, encode and split tables, and assign every user to a student.

    Args:
        events: a row per event; columns as `params.ingest` names them, by default `user` and
            `item`, and if they exist `time`, `behaviour` and `rating`.
        users: attributes, with the same column of users. Attributes that models or rules read are
            named in `params.features.attributes` and `params.students`.
        items: titles and other columns, with the same column of items.
        params: settings; None: defaults, see `load_params` and `parse_params`.

    Raises:
        ValueError: the tables do not fit the settings or have too many bad rows; says which.
        TypeError: a table is not a DataFrame, or `params` not settings.
    """
    params = params or Params()
    _check_frames({"events": events, "users": users, "items": items}, params)
    tables = _read(events, users, items, params)
    rules = rules_for(
        OWN,
        clock=tables.clock,
        users=len(tables.users),
        items=len(tables.items),
        keep_unknown_items=params.validation.unknown_items == "keep",
    )
    cleaned = clean({name: getattr(tables, name) for name in NAMES}, rules)
    judge(cleaned, params.validation, tables.unparsed)
    accepted = cleaned.accepted
    features = prepare_features(
        accepted["events"],
        accepted["users"],
        accepted["items"],
        params.features,
        params.split,
        params.ingest.missing,
    )
    sequences, groups = features.sequences, params.distill.taste_groups
    size = len(features.encoder.items)
    taste = fit_taste_groups(sequences, size, groups, params.seed) if groups else None
    membership = assign(
        features.users,
        np.asarray(sequences.split[:, 0]),
        params.students,
        params.distill.min_users,
        taste.groups(sequences) if taste else None,
    )
    return Data(
        params=params,
        encoder=features.encoder,
        sequences=sequences,
        vectors=_vectors(features.items, tables, params),
        members=membership.members,
        folded=membership.folded,
        cleaned=cleaned,
    )


def _check_frames(tables: dict[str, pd.DataFrame | None], params: Params) -> None:
    for name, table in tables.items():
        if table is None and name != "events":
            continue
        if not isinstance(table, pd.DataFrame):
            raise TypeError(f"{name} must be a DataFrame, got {type(table).__name__}")
        odd = [column for column in table.columns if not isinstance(column, str)]
        if odd:
            raise TypeError(f"{name} has columns whose names are not text, such as {odd[0]!r}")
    if not isinstance(params, Params):
        raise TypeError("params are settings: use `load_params` or `parse_params`")


def _read(
    events: pd.DataFrame, users: pd.DataFrame | None, items: pd.DataFrame | None, params: Params
) -> Tables:
    """The tables through the door that files take: types, forms of ids, times, missing values."""
    tables = {"events": events, "users": users, "items": items}
    ingest = params.ingest.model_dump()
    ingest |= {"events": "events.parquet", "users": None, "items": None, "layout": "table"}
    ingest |= {n: n for n in OPTIONAL if ingest[n] is None and n in events.columns}
    with tempfile.TemporaryDirectory() as folder:
        for name, table in tables.items():
            if table is None:
                continue
            # a column of objects may hold several types, which Parquet refuses
            texts = {
                str(c): table[c].map(str, na_action="ignore") for c in table.select_dtypes(object)
            }
            table.assign(**texts).to_parquet(Path(folder) / f"{name}.parquet", index=False)
            if name != "events":
                named = getattr(params.ingest, name)
                other = {} if named is None else named.model_dump(exclude={"file"})
                ingest[name] = {**other, "file": f"{name}.parquet"}
        return own_files.read(Path(folder), type(params.ingest).model_validate(ingest))


def _vectors(items: pd.DataFrame, tables: Tables, params: Params) -> dict[str, np.ndarray]:
    """The items' vectors by name: of their text, and those that came with the tables."""
    ids = items[Columns.ITEM].tolist()
    vectors = {name: with_no_item(align(t, ids)[0]) for name, t in tables.vectors.items()}
    if params.embed.encoder != "none":
        vectors["text"] = embed_texts(items["text"].tolist(), params.embed).vectors
    return vectors

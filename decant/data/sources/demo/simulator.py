"""The demo shop: a seeded e-commerce log from a known process, with about 1 % of dirty rows."""

import csv
import json
import os
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from decant.data.sources.demo.images import draw_images
from decant.data.sources.demo.process import (
    INTERESTS,
    Process,
    Walk,
    draw_interests,
    draw_process,
    longest_walk,
    next_item_distribution,
    take,
)
from decant.data.sources.layout import DEMO_IMAGES
from decant.files import digest_file
from decant.params.data import Raw

OPENED = int(datetime(2026, 3, 1, tzinfo=UTC).timestamp())
DAYS = 90
IMAGES = 1  # random stream of the images, so that the logs do not depend on them
BLOCK = 2000  # users drawn at a time, which bounds memory
CARTS, BUYS = 0.35, 0.5  # share of views that go into the cart, and of carts that are bought
REGIONS = ("north", "south", "east", "west")
CATEGORIES = ("garden", "kitchen", "books", "games", "sports", "music", "tools", "fashion")
NOUNS = {
    "garden": ("rake", "hose", "planter", "lantern", "trellis"),
    "kitchen": ("pan", "kettle", "knife", "bowl", "grater"),
    "books": ("novel", "atlas", "cookbook", "biography", "thriller"),
    "games": ("puzzle", "dice set", "board game", "card game", "chess set"),
    "sports": ("racket", "ball", "mat", "jersey", "helmet"),
    "music": ("guitar", "drum", "record", "flute", "speaker"),
    "tools": ("drill", "saw", "wrench", "ladder", "level"),
    "fashion": ("scarf", "jacket", "belt", "hat", "boots"),
}
ADJECTIVES = ("small", "large", "red", "blue", "green", "classic", "modern", "folding", "sturdy")
BRANDS = ("Alder", "Birch", "Cedar", "Dahlia", "Elm", "Fern")
LOGS = ("views", "carts", "purchases")


def generate(folder: Path, settings: Raw) -> dict[str, Any]:
    """Write the shop's tables and the process's best ranking into `folder`, which appears at once.

    Files: `views.csv`, `carts.csv`, `purchases.csv` (user, item, time), `users.csv`,
    `items.csv`, `images.parquet` (item, vector), `oracle.csv` (for every step of a user: the rank
    of the item taken in the best ranking, and that ranking's expected NDCG@10), `demo.json`
    (settings, sha256 of each file).

    Returns:
        The content of `demo.json`.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    rng = np.random.default_rng(settings.seed)
    process = draw_process(settings.items, rng)
    users = draw_users(settings, rng)
    steps = pd.concat(walk_users(process, users, settings, rng), ignore_index=True)
    names = item_names(settings.items)
    for log, rows in split_into_logs(steps, users, names, rng).items():
        _write(temporary / f"{log}.csv", soil_events(rows, settings.dirty, rng))
    _write(temporary / "users.csv", soil_users(users, settings, rng))
    _write(temporary / "items.csv", draw_items(process, names, settings, rng))
    images = draw_images(process, np.random.default_rng([settings.seed, IMAGES]))
    draw = pd.DataFrame({"item": names, "vector": list(images)})
    draw.to_parquet(temporary / DEMO_IMAGES, index=False)
    oracle = pd.DataFrame(
        {
            "user": users["user"].to_numpy()[steps["user"]],
            "item": names[steps["item"]],
            "rank": steps["rank"],
            "expected_ndcg": steps["expected"].round(6),
        }
    )
    _write(temporary / "oracle.csv", oracle)
    made = {"settings": settings.model_dump(), "files": hash_files(temporary)}
    (temporary / "demo.json").write_text(json.dumps(made, indent=2) + "\n", encoding="utf-8")
    shutil.rmtree(folder, ignore_errors=True)
    os.replace(temporary, folder)
    return made


def hash_files(folder: Path) -> dict[str, str]:
    """sha256 of each table in `folder`, by name."""
    return {
        path.name: digest_file(path)
        for path in sorted(folder.iterdir())
        if path.suffix in (".csv", ".parquet")
    }


def draw_users(settings: Raw, rng: np.random.Generator) -> pd.DataFrame:
    """Users with their true attributes: user, age, gender, region and `group` of the process."""
    age = rng.integers(16, 75, settings.users)
    woman = rng.random(settings.users) < 0.5
    return pd.DataFrame(
        {
            "user": [f"u{i:07d}" for i in range(settings.users)],
            "age": age,
            "gender": np.where(woman, "F", "M"),
            "region": rng.choice(REGIONS, settings.users),
            "group": woman * 2 + (age < 35),
        }
    )


def walk_users(
    process: Process, users: pd.DataFrame, settings: Raw, rng: np.random.Generator
) -> Iterator[pd.DataFrame]:
    """Every step of every user: user and item as row numbers, time, rank, expected (NDCG@10)."""
    for start in range(0, len(users), BLOCK):
        group = users["group"].to_numpy()[start : start + BLOCK]
        interests = draw_interests(len(group), rng)
        lengths = rng.poisson(settings.steps, len(group)).clip(3, longest_walk(process.items))
        block = _walk_block(process, group, interests, lengths, rng)
        block["time"] = draw_times(block["user"].to_numpy(), lengths, rng)
        block["user"] += start
        yield block


def _walk_block(
    process: Process,
    group: np.ndarray,
    interests: np.ndarray,
    lengths: np.ndarray,
    rng: np.random.Generator,
) -> pd.DataFrame:
    walk = Walk.start(len(group), process.items)
    discount = 1 / np.log2(np.arange(2, 12))
    steps = []
    for step in range(int(lengths.max())):
        active = np.flatnonzero(lengths > step)
        chance = next_item_distribution(
            process, group[active], interests[active], walk.subset(active)
        )
        chosen = (chance.cumsum(axis=1) < rng.random((len(active), 1))).sum(axis=1)
        chosen = chosen.clip(max=process.items - 1)
        p = chance[np.arange(len(active)), chosen]
        best = -np.sort(-np.partition(chance, -10, axis=1)[:, -10:], axis=1)
        steps.append(
            pd.DataFrame(
                {
                    "user": active,
                    "item": chosen,
                    "rank": (chance >= p[:, None]).sum(axis=1),
                    "expected": best @ discount,
                }
            )
        )
        take(process, interests, walk, active, chosen)
    # a stable sort by user keeps each user's steps in their order
    return pd.concat(steps).sort_values("user", kind="stable", ignore_index=True)


def draw_times(user: np.ndarray, lengths: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Seconds since the epoch, int [E], increasing per user: visits of a few steps each."""
    session = (np.arange(len(user)) - (lengths.cumsum() - lengths)[user]) // 4
    starts = rng.random((len(lengths), int(session.max()) + 1))
    starts[np.arange(starts.shape[1]) > (lengths[:, None] - 1) // 4] = 2
    starts.sort(axis=1)
    time = OPENED + (starts[user, session] * DAYS * 86400).astype(np.int64)
    pause = rng.integers(60, 600, len(user))
    order = np.arange(len(user))
    first = np.r_[True, (user[1:] != user[:-1]) | (session[1:] != session[:-1])]
    since = pause.cumsum()
    time += since - since[np.maximum.accumulate(np.where(first, order, 0))]
    return _strictly_rising(time, user)


def _strictly_rising(time: np.ndarray, user: np.ndarray) -> np.ndarray:
    """Separate overlapping visits: at least a minute between two steps of a user."""
    shifted = time - 60 * np.arange(len(time))
    lift = user * (4 * DAYS * 86400)  # makes each user's values exceed those of the previous user
    return np.maximum.accumulate(shifted + lift) - lift + 60 * np.arange(len(time))


def item_names(items: int) -> np.ndarray:
    return np.array([f"i{i:06d}" for i in range(items)], dtype=object)


def split_into_logs(
    steps: pd.DataFrame, users: pd.DataFrame, names: np.ndarray, rng: np.random.Generator
) -> dict[str, pd.DataFrame]:
    """Three logs of the same steps: all are viewed, some go into the cart, some are bought."""
    step = pd.DataFrame(
        {
            "user": users["user"].to_numpy()[steps["user"]],
            "item": names[steps["item"]],
            "time": steps["time"],
        }
    )
    carted = rng.random(len(step)) < CARTS
    bought = carted & (rng.random(len(step)) < BUYS)
    chosen = {"views": np.full(len(step), True), "carts": carted, "purchases": bought}
    logs = {}
    for later, (log, rows) in enumerate(chosen.items()):
        table = step[rows].assign(time=step["time"][rows] + 15 * later)
        logs[log] = table.sort_values("time", kind="stable", ignore_index=True)
    return logs


def draw_items(
    process: Process, names: np.ndarray, settings: Raw, rng: np.random.Generator
) -> pd.DataFrame:
    """The catalogue: item, title, category (an interest of the process), brand, price."""
    category = np.array(CATEGORIES)[process.interest % INTERESTS]
    title = [
        " ".join([*rng.choice(ADJECTIVES, 2, replace=False), rng.choice(NOUNS[c])])
        for c in category
    ]
    brand = rng.choice(BRANDS, process.items)
    price = np.exp(rng.normal(3, 0.7, process.items)).round(2).astype(object)
    table = pd.DataFrame(
        {"item": names, "title": title, "category": category, "brand": brand, "price": price}
    )
    wrong = rng.random(process.items) < settings.dirty
    table.loc[wrong, "price"] = rng.choice(["", "-1.0", "free"], wrong.sum())
    return table


def soil_events(rows: pd.DataFrame, dirty: float, rng: np.random.Generator) -> pd.DataFrame:
    """Format times as text, and corrupt a share of the rows, all kinds of errors equally often."""
    time = pd.to_datetime(rows["time"], unit="s").dt.strftime("%Y-%m-%dT%H:%M:%SZ")
    rows = rows.assign(time=time.astype(object))
    kind = np.where(rng.random(len(rows)) < dirty, rng.integers(0, 7, len(rows)), -1)
    rows.loc[kind == 0, "user"] = ""
    rows.loc[kind == 1, "item"] = ""
    rows.loc[kind == 2, "item"] = "i999999"
    rows.loc[kind == 3, "user"] = "u9999999"
    rows.loc[kind == 4, "time"] = "yesterday"
    rows.loc[kind == 5, "time"] = "2099-01-01T00:00:00Z"
    return pd.concat([rows, rows[kind == 6]]).sort_index(kind="stable")


def soil_users(users: pd.DataFrame, settings: Raw, rng: np.random.Generator) -> pd.DataFrame:
    """Corrupted attributes: some missing, some impossible, some users listed twice."""
    table = users.drop(columns="group").astype(object)
    for column in ("age", "gender", "region"):
        table.loc[rng.random(len(table)) < settings.missing, column] = ""
    wrong = rng.random(len(table)) < settings.dirty / 2
    table.loc[wrong, "age"] = rng.choice([-1, 999], wrong.sum())
    twice = table[rng.random(len(table)) < settings.dirty / 2]
    return pd.concat([table, twice])


def _write(path: Path, table: pd.DataFrame) -> None:
    table.to_csv(path, index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")

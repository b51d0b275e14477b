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
    CART,
    DEEDS,
    PURCHASE,
    VISIT,
    Process,
    Walk,
    draw_interests,
    draw_process,
    longest_visit,
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
APART = 3600  # seconds at least between two visits of a user
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
SIZES = ("small", "large", "folding", "sturdy")
LOOKS = ("red", "blue", "green", "classic", "modern")  # of the styles
BRANDS = ("Alder", "Birch", "Cedar", "Dahlia", "Elm", "Fern")
LOGS = ("views", "carts", "purchases")


def generate(folder: Path, settings: Raw) -> dict[str, Any]:
    """Write the shop's tables and the process's best ranking into `folder`, which appears at once.

    Files: `views.csv`, `carts.csv`, `purchases.csv` (user, item, time), `users.csv`,
    `items.csv`, `images.parquet` (item, vector), `oracle.csv` (for every step of a user: its time
    in seconds, the rank of the item taken in the best ranking, and that ranking's expected
    NDCG@10), `demo.json` (settings, sha256 of each file).

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
    for log, rows in split_into_logs(steps, users, names).items():
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
            "time": steps["time"],
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
    """Every step of every user: user and item as row numbers, deed, visit (the number of the user's
    visit), rank, expected (NDCG@10), time."""
    for start in range(0, len(users), BLOCK):
        group = users["group"].to_numpy()[start : start + BLOCK]
        interests = draw_interests(len(group), rng)
        lengths = rng.poisson(settings.steps, len(group)).clip(3)
        block = _walk_block(process, group, interests, lengths, rng)
        block["time"] = draw_times(block["user"].to_numpy(), block["visit"].to_numpy(), rng)
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
    visit, inside = np.full(len(group), -1), np.full(len(group), longest_visit(process.items))
    steps = []
    for step in range(int(lengths.max())):
        active = np.flatnonzero(lengths > step)
        ends = (rng.random(len(active)) < 1 / VISIT) | (step == 0)
        coming = active[ends | (inside[active] >= longest_visit(process.items))]
        walk.end_visit(coming)
        visit[coming], inside[coming] = visit[coming] + 1, 0
        chance = next_item_distribution(
            process, group[active], interests[active], walk.subset(active)
        )
        chosen = (chance.cumsum(axis=1) < rng.random((len(active), 1))).sum(axis=1)
        chosen = chosen.clip(max=process.items - 1)
        deed = rng.choice(len(DEEDS), len(active), p=DEEDS)
        p = chance[np.arange(len(active)), chosen]
        best = -np.sort(-np.partition(chance, -10, axis=1)[:, -10:], axis=1)
        steps.append(
            pd.DataFrame(
                {
                    "user": active,
                    "item": chosen,
                    "deed": deed,
                    "visit": visit[active],
                    "rank": (chance >= p[:, None]).sum(axis=1),
                    "expected": best @ discount,
                }
            )
        )
        take(process, interests, walk, active, chosen, deed)
        inside[active] += 1
    # a stable sort by user keeps each user's steps in their order
    return pd.concat(steps).sort_values("user", kind="stable", ignore_index=True)


def draw_times(user: np.ndarray, visit: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Seconds since the epoch, int [E], increasing per user: some minutes between the steps of a
    visit, `APART` or more between visits. Both int [E], ascending."""
    first = np.r_[True, (user[1:] != user[:-1]) | (visit[1:] != visit[:-1])]
    start = np.sort(user[first] + rng.random(first.sum())) - user[first]  # of all users alike
    pause = np.where(first, APART, rng.integers(60, 600, len(user)))
    since = pause.cumsum()
    own = since - since[np.maximum.accumulate(np.where(starts_user(user), np.arange(len(user)), 0))]
    when = (start * DAYS * 86400).astype(np.int64)[first.cumsum() - 1]
    return np.asarray(OPENED + when + own)


def starts_user(user: np.ndarray) -> np.ndarray:
    """Whether each row is the first one of a user, bool [E]."""
    return np.r_[True, user[1:] != user[:-1]]


def item_names(items: int) -> np.ndarray:
    return np.array([f"i{i:06d}" for i in range(items)], dtype=object)


def split_into_logs(
    steps: pd.DataFrame, users: pd.DataFrame, names: np.ndarray
) -> dict[str, pd.DataFrame]:
    """Three logs of the same steps: all are viewed, some go into the cart, some are bought."""
    step = pd.DataFrame(
        {
            "user": users["user"].to_numpy()[steps["user"]],
            "item": names[steps["item"]],
            "time": steps["time"],
        }
    )
    deed = steps["deed"].to_numpy()
    chosen = {
        "views": np.full(len(step), True),
        "carts": deed >= CART,
        "purchases": deed >= PURCHASE,
    }
    logs = {}
    for later, (log, rows) in enumerate(chosen.items()):
        table = step[rows].assign(time=step["time"][rows] + 15 * later)
        logs[log] = table.sort_values("time", kind="stable", ignore_index=True)
    return logs


def draw_items(
    process: Process, names: np.ndarray, settings: Raw, rng: np.random.Generator
) -> pd.DataFrame:
    """The catalogue: item, title, category (an interest of the process), brand, price."""
    category = np.array(CATEGORIES)[process.interest]
    noun = np.array([NOUNS[name] for name in CATEGORIES]).ravel()[process.kind]
    size, look = rng.choice(SIZES, process.items), np.array(LOOKS)[process.style]
    title = [" ".join(words) for words in zip(size, look, noun, strict=True)]
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

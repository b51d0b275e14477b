import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from decant.data.sources.demo.process import (
    DEEDS,
    PURCHASE,
    Process,
    Walk,
    draw_interests,
    draw_process,
    next_item_distribution,
    take,
)
from decant.data.sources.demo.simulator import (
    LOGS,
    _walk_block,
    draw_times,
    draw_users,
    generate,
    hash_files,
    soil_events,
    soil_users,
)
from decant.params.data import Raw

SMALL = Raw(users=60, items=48, steps=8, seed=3)
DISCOUNT = 1 / np.log2(np.arange(2, 12))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("raw") / "demo"
    generate(folder, SMALL)
    return folder


def read(folder: Path, name: str) -> pd.DataFrame:
    return pd.read_csv(folder / f"{name}.csv", dtype=str, keep_default_na=False)


def test_the_same_seed_gives_the_same_bytes_and_another_others(tmp_path: Path) -> None:
    made = [generate(tmp_path / str(i), SMALL) for i in range(2)]
    other = generate(tmp_path / "other", SMALL.model_copy(update={"seed": 4}))
    assert made[0] == made[1]
    assert hash_files(tmp_path / "0") == hash_files(tmp_path / "1") == made[0]["files"]
    assert not set(other["files"].values()) & set(made[0]["files"].values())


def test_it_says_what_it_was_made_with(shop: Path) -> None:
    made = json.loads((shop / "demo.json").read_text())
    assert made["settings"] == SMALL.model_dump()
    names = {
        *(f"{log}.csv" for log in LOGS),
        "users.csv",
        "items.csv",
        "images.parquet",
        "oracle.csv",
    }
    assert set(made["files"]) == names


def test_a_shop_made_anew_replaces_the_old_one(tmp_path: Path) -> None:
    folder = tmp_path / "demo"
    generate(folder, SMALL)
    (folder / "old.csv").write_text("old")
    generate(folder, SMALL)
    assert not (folder / "old.csv").exists()
    assert [path.name for path in tmp_path.iterdir()] == ["demo"]


def test_tables_have_their_columns(shop: Path) -> None:
    for log in LOGS:
        assert list(read(shop, log)) == ["user", "item", "time"]
    assert list(read(shop, "users")) == ["user", "age", "gender", "region"]
    assert list(read(shop, "items")) == ["item", "title", "category", "brand", "price"]
    assert list(read(shop, "oracle")) == ["user", "item", "time", "rank", "expected_ndcg"]


def test_what_is_bought_was_in_the_cart_and_what_is_there_was_viewed(tmp_path: Path) -> None:
    generate(tmp_path / "clean", SMALL.model_copy(update={"dirty": 0.0}))
    logs = {
        log: read(tmp_path / "clean", log).assign(time=lambda t: pd.to_datetime(t["time"]))
        for log in LOGS
    }
    steps = {
        log: set((table["user"] + table["item"] + (table["time"] - later).astype(str)).tolist())
        for (log, table), later in zip(
            logs.items(), pd.to_timedelta([0, 15, 30], unit="s"), strict=True
        )
    }
    assert steps["purchases"] < steps["carts"] < steps["views"]
    assert len(steps["carts"]) / len(steps["views"]) == pytest.approx(DEEDS[1:].sum(), abs=0.08)
    assert len(steps["purchases"]) / len(steps["views"]) == pytest.approx(DEEDS[2], abs=0.08)


def test_a_clean_shop_takes_each_item_once_a_visit_and_its_times_rise(tmp_path: Path) -> None:
    generate(tmp_path / "clean", SMALL.model_copy(update={"dirty": 0.0}))
    views = read(tmp_path / "clean", "views")
    views["time"] = pd.to_datetime(views["time"])
    oracle = read(tmp_path / "clean", "oracle")
    assert len(oracle) == len(views)
    again = 0
    for user, rows in views.groupby("user"):
        rows = rows.sort_values("time")
        pause = rows["time"].diff().dt.total_seconds().fillna(np.inf)
        assert (pause >= 60).all()
        assert not ((pause > 600) & (pause < 3600)).any()
        assert not rows.assign(visit=(pause > 600).cumsum()).duplicated(["visit", "item"]).any()
        again += rows["item"].duplicated().sum()
        # the oracle's rows are in the order of the steps
        own = oracle[oracle["user"] == user]
        assert rows["item"].tolist() == own["item"].tolist()
        assert (rows["time"].astype("int64") // 10**6).tolist() == own["time"].astype(int).tolist()
    assert again > 0.05 * len(views)


@pytest.mark.parametrize("seed", range(3))
def test_times_rise_within_a_visit_by_minutes_and_between_visits_by_an_hour(seed: int) -> None:
    rng = np.random.default_rng(seed)
    lengths = rng.integers(1, 60, 200)
    user = np.repeat(np.arange(200), lengths)
    visit = np.concatenate([np.cumsum(rng.random(n) < 0.3) for n in lengths])
    time = draw_times(user, visit, rng)
    pause, same = np.diff(time), user[1:] == user[:-1]
    inside = same & (visit[1:] == visit[:-1])
    assert (pause[inside] >= 60).all()
    assert (pause[inside] < 600).all()
    assert (pause[same & ~inside] >= 3600).all()
    assert time.max() - time.min() < 95 * 86400


def walk_of(
    process: Process, users: int, rng: np.random.Generator
) -> tuple[np.ndarray, np.ndarray, pd.DataFrame]:
    group, interests = rng.integers(0, 4, users), draw_interests(users, rng)
    lengths = rng.integers(3, 12, users)
    return group, interests, _walk_block(process, group, interests, lengths, rng)


def replay(
    process: Process, group: np.ndarray, interests: np.ndarray, steps: pd.DataFrame
) -> np.ndarray:
    """The process's distribution before each step, [E, N], following each user alone."""
    rows = []
    for user, own in steps.groupby("user"):
        walk = Walk.start(1, process.items)
        who, visit = slice(int(user), int(user) + 1), 0
        for step in own.itertuples():
            if step.visit != visit:
                walk.end_visit(np.array([0]))
                visit = step.visit
            rows.append(next_item_distribution(process, group[who], interests[who], walk)[0])
            done = np.array([step.item]), np.array([step.deed])
            take(process, interests[who], walk, np.array([0]), *done)
    return np.array(rows)


def test_the_oracle_is_the_best_ranking_of_the_law() -> None:
    process = draw_process(48, np.random.default_rng(5))
    group, interests, steps = walk_of(process, 30, np.random.default_rng(6))
    chance = replay(process, group, interests, steps)
    chosen = chance[np.arange(len(steps)), steps["item"]]
    assert (chosen > 0).all()
    assert steps["rank"].tolist() == (chance >= chosen[:, None]).sum(axis=1).tolist()
    best = -np.sort(-chance, axis=1)[:, :10] @ DISCOUNT
    np.testing.assert_allclose(steps["expected"], best)


def test_what_users_do_is_as_frequent_as_the_law_says() -> None:
    process = draw_process(48, np.random.default_rng(5))
    group, interests, steps = walk_of(process, 400, np.random.default_rng(7))
    chance = replay(process, group, interests, steps)
    chosen = chance[np.arange(len(steps)), steps["item"]]
    # by the process itself, an item of chance p is taken in a share p of the cases
    for low, high in pairwise([0, 0.01, 0.03, 0.1, 0.2, 0.4, 1.01]):
        expected = chance[(chance >= low) & (chance < high)].sum()
        taken = ((chosen >= low) & (chosen < high)).sum()
        assert taken == pytest.approx(expected, abs=4 * np.sqrt(expected) + 1)
    # and the best ranking reaches what is expected of it
    gained = np.where(steps["rank"] <= 10, 1 / np.log2(steps["rank"] + 1), 0)
    spread = 4 * gained.std() / np.sqrt(len(gained))
    assert gained.mean() == pytest.approx(steps["expected"].mean(), abs=spread)


def test_groups_behave_differently() -> None:
    process = draw_process(200, np.random.default_rng(5))
    rng = np.random.default_rng(8)
    interests = draw_interests(200, rng)
    walk = Walk.start(200, 200)
    everybody = np.zeros(200, dtype=int)
    first = next_item_distribution(process, everybody, interests, walk).argmax(axis=1)
    take(process, interests, walk, np.arange(200), first, np.full(200, PURCHASE))
    by_group = [next_item_distribution(process, everybody + g, interests, walk) for g in range(4)]
    for a in range(4):
        for b in range(a):
            apart = np.abs(by_group[a] - by_group[b]).sum(axis=1) / 2
            assert apart.mean() > 0.1


@pytest.mark.parametrize("dirty", [0.0, 0.05, 0.3])
def test_about_as_many_rows_are_dirty_as_was_asked_for_of_each_kind(dirty: float) -> None:
    rng = np.random.default_rng(0)
    count = 20_000
    clean = pd.DataFrame(
        {
            "user": [f"u{i % 500:07d}" for i in range(count)],
            "item": [f"i{i:06d}" for i in range(count)],
            "time": 1_772_323_200 + np.arange(count),
        }
    )
    soiled = soil_events(clean, dirty, rng)
    kinds = {
        "no user": soiled["user"] == "",
        "no item": soiled["item"] == "",
        "unknown item": soiled["item"] == "i999999",
        "unknown user": soiled["user"] == "u9999999",
        "no time": soiled["time"] == "yesterday",
        "far off": soiled["time"].str.startswith("2099"),
        "twice": soiled.duplicated(),
    }
    expected = dirty * count / len(kinds)
    for kind, rows in kinds.items():
        assert rows.sum() == pytest.approx(expected, abs=4 * np.sqrt(expected)), kind
    assert len(soiled) == count + kinds["twice"].sum()


def test_about_as_many_attributes_are_missing_as_was_asked_for() -> None:
    settings = Raw(users=5000, missing=0.2, dirty=0.1)
    users = draw_users(settings, np.random.default_rng(0))
    table = soil_users(users, settings, np.random.default_rng(1))
    for column in ("age", "gender", "region"):
        assert (table[column] == "").mean() == pytest.approx(0.2, abs=0.03)
    assert table["age"].isin([-1, 999]).mean() == pytest.approx(0.05, abs=0.015)
    assert table["user"].duplicated().mean() == pytest.approx(0.05, abs=0.015)
    assert "group" not in table


def test_a_group_is_gender_and_age() -> None:
    users = draw_users(Raw(users=500), np.random.default_rng(0))
    expected = 2 * (users["gender"] == "F") + (users["age"] < 35)
    assert (users["group"] == expected).all()
    assert set(users["group"]) == {0, 1, 2, 3}


def test_blocks_of_users_only_bound_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("decant.data.sources.demo.simulator.BLOCK", 25)
    generate(tmp_path / "blocks", SMALL)
    views = read(tmp_path / "blocks", "views")
    assert views["user"].nunique() >= SMALL.users
    assert not views[views["user"] != ""].duplicated(["user", "item", "time"]).mean() > 0.02

"""Evaluate every model on every group, in the serving runtime."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
from tqdm import tqdm

from decant.columns import Columns
from decant.evaluation.evaluate import HOPS, evaluate
from decant.features.sequences import Cases, Sequences
from decant.files import write_json
from decant.models.cost import multiply_adds_of
from decant.params.types import TEACHER
from tasks.runner.artifacts import (
    distilled_folder,
    is_folded,
    load_groups,
    load_sequences,
    load_vectors,
    model_folder,
)
from tasks.runner.step import Summary, Workspace, program


def run(workspace: Workspace) -> Summary:
    """Read every model's graph; write the metrics, the rank of every case and the test's top k.

    Where events of one moment are a set, also the quality of every model before every basket.
    """
    params = workspace.params
    encoder, sequences = load_sequences(workspace)
    folders = model_folders(workspace)
    done = evaluate(
        sequences,
        encoder,
        load_groups(workspace),
        folders,
        read_oracle(workspace, encoder.items, sequences),
        k=params.evaluate.k,
        cases_per_user=params.split.cases_per_user,
        latency_requests=params.evaluate.latency_requests,
        seed=params.seed,
        vectors=load_vectors(workspace).get("text"),
        progress=tqdm.write,  # thread-safe: models are measured in parallel
    )
    for name, folder in folders.items():
        done.metrics["models"][name]["multiply_adds"] = multiply_adds_of(folder)
    protocol = {
        "source": params.source,
        "split": params.split.model_dump(),
        "exclude_seen": encoder.exclude_seen,
        "catalogue": len(encoder.items),
        "ranked": "whole catalogue",
        "ties": "against the model",
        "k": params.evaluate.k,
        "seed": params.seed,
    }
    metrics = {**done.metrics, "protocol": protocol}
    output = workspace.output("evaluation")
    write_json(output / "metrics.json", metrics)
    done.cases.to_parquet(output / "cases.parquet", index=False)
    if done.baskets is not None:
        done.baskets.to_parquet(output / "baskets.parquet", index=False)
    np.savez_compressed(output / "top.npz", **done.top)  # type: ignore[arg-type]
    return {
        "protocol": protocol,
        "models": {n: brief(m) for n, m in metrics["models"].items()},
        "left_out": metrics["left_out"],
    }


def model_folders(workspace: Workspace) -> dict[str, Path]:
    """Bundles by model: the teacher, and three steps of every student not merged into general."""
    folders = {TEACHER: model_folder(workspace, TEACHER)}
    for student in workspace.params.students:
        if not is_folded(workspace, student):
            compressed = workspace.input(f"compressed/{student}")
            distilled = distilled_folder(workspace, student)
            places = (distilled, compressed / "pruned", compressed / "int8")
            folders |= {f"{student}/{hop}": p for hop, p in zip(HOPS, places, strict=True)}
    return folders


def read_oracle(
    workspace: Workspace, items: tuple[str, ...], sequences: Sequences
) -> Callable[[Cases], np.ndarray] | None:
    """The demo's optimal ranking: cases → rank of each target, 0 where unknown."""
    path = workspace.input("ingested") / "oracle.parquet"
    if not path.is_file():
        return None
    oracle = pd.read_parquet(path)
    users = pd.read_parquet(workspace.input("features") / "users.parquet")[Columns.USER]
    ranks = oracle[[Columns.USER, Columns.ITEM, Columns.TIME, "rank"]].sort_values(Columns.TIME)
    ids, names = users.to_numpy(), np.array(["", *items], dtype=object)

    def look_up(chosen: Cases) -> np.ndarray:
        wanted = pd.DataFrame(
            {
                Columns.USER: ids[chosen.user],
                Columns.ITEM: names[np.asarray(sequences.items)[chosen.position]],
                Columns.TIME: np.asarray(sequences.times)[chosen.position].astype(np.int64),
            }
        )
        # carts and purchases follow their view within a minute, another step takes longer
        steps = pd.merge_asof(
            wanted.reset_index().sort_values(Columns.TIME), ranks, on=Columns.TIME,
            by=[Columns.USER, Columns.ITEM], tolerance=59,
        )  # fmt: skip
        ordered = steps.sort_values("index")["rank"]
        return ordered.fillna(0).to_numpy(dtype=np.int64)

    return look_up


def brief(model: dict[str, object]) -> dict[str, object]:
    """NDCG of one model on both windows, over all users it was evaluated on."""
    windows = {w: model[w] for w in ("validation", "test")}
    return {w: v.get("all", {}).get("ndcg") for w, v in windows.items() if isinstance(v, dict)}


def describe(summary: Summary) -> str:
    rows = "\n".join(
        f"| {name} | {m['validation'] or 0:.4f} | {m['test'] or 0:.4f} |"
        for name, m in summary["models"].items()
    )
    k = summary["protocol"]["k"]
    left_out = "".join(f"\n{name}: left out, {why}" for name, why in summary["left_out"].items())
    return f"| model | NDCG@{k} validation | test |\n|---|---|---|\n{rows}\n{left_out}"


if __name__ == "__main__":
    program(run)

"""Assign every user to one student by the rules in params.yaml."""

import numpy as np
import pandas as pd

from decant.data.membership import assign, check_rules, popular_items
from decant.data.profile import profile_line, profiles
from decant.features.encode import Encoder
from decant.features.sequences import Sequences
from decant.features.taste import fit_taste_groups
from decant.files import write_json
from decant.params.types import GENERAL
from tasks.runner.artifacts import SERVED_BY_GENERAL
from tasks.runner.step import Summary, Workspace, program


def run(workspace: Workspace) -> Summary:
    """Read the users' raw attributes; write one membership file per student, and the router."""
    features, params = workspace.input("features"), workspace.params
    users = pd.read_parquet(features / "users.parquet")
    sequences = Sequences.load(features / "sequences")
    encoder = Encoder.load(features / "encoder.json")
    groups = params.distill.taste_groups
    warnings = check_rules(params.segments, params.ingest.missing, users, groups)
    for line in warnings:
        print(line)
    taste = fit_taste_groups(sequences, len(encoder.items), groups, params.seed) if groups else None
    membership = assign(
        users,
        np.asarray(sequences.split[:, 0]),
        params.students,
        params.distill.min_users,
        taste.groups(sequences) if taste else None,
    )
    output = workspace.output("segments")
    all_users = np.arange(sequences.users, dtype=np.int32)
    # general learns from all users, so that changed rules do not make it stale
    learners = {**membership.members, GENERAL: all_users}
    learners |= {name: learners[serving] for name, serving in params.variants.items()}
    for name, ids in learners.items():
        np.save(output / f"{name}.npy", ids, allow_pickle=False)
    np.save(output / SERVED_BY_GENERAL, membership.members[GENERAL], allow_pickle=False)
    described = pd.read_parquet(features / "user_features.parquet")
    items = pd.read_parquet(features / "items.parquet")
    popular = popular_items(sequences, encoder.items, {**membership.members, GENERAL: all_users})
    router = {**membership.router, "popular": popular}
    if taste:
        router["taste"] = taste.to_lists()
    write_json(output / "router.json", router)
    return {
        "users": {name: len(ids) for name, ids in membership.members.items()},
        "folded": membership.folded,
        "rules": {name: student.where for name, student in params.segments.items()},
        "variants": params.variants,
        "notes": warnings,
        "profile": profiles(described, items, sequences, membership.members, encoder.attributes),
    }


def describe(summary: Summary) -> str:
    rows = "\n".join(
        f"| {name} | `{summary['rules'].get(name) or 'all other users'}` | {count:,}"
        f"{' (merged into general)' if name in summary['folded'] else ''} |"
        for name, count in sorted(summary["users"].items())
    )
    rows += "".join(
        f"\n| {name} | a variant of {serving} | {summary['users'][serving]:,} |"
        for name, serving in summary["variants"].items()
    )
    table = f"| student | rule | users |\n|---|---|---|\n{rows}"
    lines = [profile_line(name, profile) for name, profile in sorted(summary["profile"].items())]
    return table + "".join(f"\n\n{note}." for note in (*summary["notes"], *lines))


if __name__ == "__main__":
    program(run)

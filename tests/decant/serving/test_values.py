"""One contract: a value means the same in a table, a rule, a request, stored JSON, a command line.

Whoever a rule selects in the table is answered by the segment's student, in whatever way the value
is written on either side; and the models know it.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest

from decant.commands.service import request_body
from decant.data.membership import assign
from decant.data.prepare import fit_attribute
from decant.data.sources.readers import read
from decant.features.encode import Encoder
from decant.params.data import Ingest
from decant.params.models import Student
from decant.runtime.engine import Family
from decant.serving.requests import ask

# what one value may look like: in a cell of CSV, typed in Parquet, in a rule, in JSON
SAME: dict[str, tuple[list[str], list[Any], list[str], list[Any]]] = {
    "true": (
        ["true", "TRUE", "True"],
        [True],
        ["true", "True", "'true'", "'TRUE'"],
        [True, "true", "True", " TRUE "],
    ),
    "a number": (
        ["28", "28.0", " 28"],
        [28, 28.0, np.float32(28)],
        ["28", "28.0", "'28'", "'28.0'"],
        [28, 28.0, "28", "28.0"],
    ),
    "a code with a zero in front": (["007"], ["007"], ["'007'"], ["007", " 007"]),
    "a code that is a number elsewhere": (["1e+05"], ["1e+05"], ["'100000'"], [100000, "1e+05"]),
    "letters": (
        ["K\u00f6ln", "Ko\u0308ln", "K\u00f6ln\u200b"],
        ["K\u00f6ln", "Ko\u0308ln"],
        ["'K\u00f6ln'", "'Ko\u0308ln'"],
        ["K\u00f6ln", "Ko\u0308ln", "\u200bK\u00f6ln"],
    ),
    "a sign": (["5+"], ["5+"], ["'5+'"], ["5+"]),
    "blanks within": (
        ["New York"],
        ["New\u00a0York"],
        ["'New York'"],
        ["New York", "New\u00a0York "],
    ),
}
OTHER = "something else"  # of the other users, so that the column is one of text


def users_of(folder: Path, kind: str, cell: Any, numeric: bool) -> pd.DataFrame:
    """The table of users as ingest reads it: the first has the value, the last has none."""
    (folder / "events.csv").write_text("user,item\nu0,x\nu1,x\nu2,x\n")
    others = [7 if numeric else OTHER, None]
    if kind == "csv":
        rows = [f"u{n},{'' if v is None else v}" for n, v in enumerate([cell, *others])]
        (folder / "users.csv").write_text("\n".join(["user,kind", *rows]) + "\n", "utf-8")
    else:
        column = pd.Series([cell, others[0] if numeric else None, None], dtype=object)
        column = column if numeric or isinstance(cell, bool) else column.fillna(OTHER)
        frame = pd.DataFrame({"user": ["u0", "u1", "u2"], "kind": column.infer_objects()})
        frame.to_parquet(folder / "users.parquet")
    return read("files", folder, Ingest(users=f"users.{kind}")).users


def family_of(tiny: Any, users: pd.DataFrame, rule: str) -> Family:
    """A release whose segment `women` has this rule, and whose models read the attribute."""
    attributes = {"kind": fit_attribute(users["kind"], 2), "age": fit_attribute(users["user"], 2)}
    router = {"students": {"women": {"where": rule, "priority": 1}}, "folded": []}
    (tiny.folder / "router.json").write_text(json.dumps(router))
    family: Family = tiny.with_encoder(attributes=attributes)
    assert Encoder.load(tiny.folder / "encoder.json").attributes == attributes  # stored JSON
    return family


@pytest.mark.parametrize("name", SAME)
def test_a_value_means_the_same_wherever_it_is_written(
    tiny: Any, tmp_path: Path, name: str
) -> None:
    cells, typed, rules, given = SAME[name]
    numeric = name == "a number"
    for kind, cell in [*(("csv", c) for c in cells), *(("parquet", t) for t in typed)]:
        users = users_of(tmp_path, kind, cell, numeric)
        for rule in rules:
            where = f"kind == {rule}"
            segments = {"s": Student(init="general", where=where)}
            members = assign(users, np.ones(3), segments, 1).members
            assert members["s"].tolist() == [0], (kind, cell, rule)
            family = family_of(tiny, users, where)
            for value in given:
                answered_alike(family, users, value)


def answered_alike(family: Family, users: pd.DataFrame, value: Any) -> None:
    """Over HTTP and from the command line the segment's student answers, and knows the value."""
    on_the_wire = json.dumps({"user": {"kind": value}, "history": ["item-03"]}).encode()
    on_the_command_line = request_body(json.dumps({"kind": value}), "item-03", None, 10)
    for body in (on_the_wire, on_the_command_line):
        answer = ask(family, body)
        assert (answer.segment, answer.student) == ("women", "women"), (users, value)
        assert answer.unknown_values == []
    index = family.encoder.attributes["kind"].index
    assert index(value) == index(users["kind"][0]) > 0

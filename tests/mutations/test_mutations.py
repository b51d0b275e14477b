"""The list of mutations fits the code; the runner tells what tests notice from what they do not."""

import subprocess
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from tests.mutations import __main__ as program
from tests.mutations.listed import MUTATIONS
from tests.mutations.mutation import Mutation, mutate, mutated, problems
from tests.mutations.runner import Outcome, run_all

REPOSITORY = Path(__file__).resolve().parents[2]
SHOP = "def price(amount):\n    return 2 * amount\n\n\ndef name():\n    return 'shop'\n"
TEST = "import shop\n\n\ndef test_price():\n    assert shop.price(3) == 6\n"
KILLED, SURVIVES = mutate(
    "shop.py", "",
    ("price-is-sum", "2 * amount", "2 + amount", "prices are wrong"),
    ("name-is-lost", "'shop'", "''", "nobody knows the shop"),
)  # fmt: skip


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A module with a test of one of its two functions, in Git."""
    (tmp_path / "tests").mkdir()
    (tmp_path / "shop.py").write_text(SHOP)
    (tmp_path / "tests" / "test_shop.py").write_text(TEST)
    (tmp_path / ".gitignore").write_text("data\n")
    (tmp_path / "data").write_text("large")
    subprocess.run(["git", "init", "--quiet"], cwd=tmp_path, check=True)
    return tmp_path


def of_shop(mutation: Mutation, **changes: object) -> Mutation:
    return replace(mutation, **{"tests": ("tests/test_shop.py",), **changes})


def run(project: Path, *mutations: Mutation, seconds: float = 300) -> dict[str, Outcome]:
    outcomes = run_all(mutations, project, jobs=2, seconds=seconds)
    return {outcome.mutation.name: outcome for outcome in outcomes}


def test_every_mutation_fits_the_code_and_its_tests_exist() -> None:
    assert problems(MUTATIONS, REPOSITORY) == []


def test_a_mutation_that_no_longer_fits_is_named_with_the_reason(project: Path) -> None:
    fits = of_shop(KILLED)
    assert problems([fits, of_shop(SURVIVES)], project) == []
    stale = {
        "occurs 0 times": replace(fits, old="3 * amount"),
        "occurs 2 times": replace(fits, old="return"),
        "no file goods.py": replace(fits, path="goods.py"),
        "equal to its text": replace(fits, new=fits.old),
        "no test tests/test_goods.py": replace(fits, tests=("tests/test_goods.py",)),
        "no test tests/test_shop.py::test_name": replace(
            fits, tests=("tests/test_shop.py::test_price[1]", "tests/test_shop.py::test_name")
        ),
    }
    for reason, mutation in stale.items():
        (line,) = problems([mutation], project)
        assert line.startswith("price-is-sum: ") and reason in line
    assert problems([fits, fits], project) == ["price-is-sum: 2 mutations have this name"]
    with pytest.raises(ValueError, match="price-is-sum is stale"):
        mutated(stale["occurs 2 times"], SHOP)


def test_what_no_test_notices_survives_and_the_tree_is_left_alone(project: Path) -> None:
    stale = of_shop(KILLED, name="price-is-gone", old="3 * amount")
    broken = of_shop(KILLED, name="price-is-no-code", new="2 *")
    outcomes = run(project, of_shop(KILLED), of_shop(SURVIVES), stale, broken)
    assert {name: outcome.status for name, outcome in outcomes.items()} == {
        "price-is-sum": "killed", "name-is-lost": "survived", "price-is-gone": "stale",
        "price-is-no-code": "broken",
    }  # fmt: skip
    assert outcomes["price-is-sum"].detail == "tests/test_shop.py::test_price"
    assert outcomes["name-is-lost"].detail == "nobody knows the shop"
    assert "SyntaxError" in outcomes["price-is-no-code"].detail
    assert (project / "shop.py").read_text() == SHOP


def test_a_mutation_that_never_ends_is_stopped(project: Path) -> None:
    endless = of_shop(SURVIVES, old="return 'shop'", new="pass\n\n\nwhile True:\n    pass")
    assert run(project, endless, seconds=1)["name-is-lost"].status == "timeout"


def test_tests_that_fail_without_a_mutation_say_nothing(project: Path) -> None:
    (project / "tests" / "test_shop.py").write_text(TEST.replace("6", "7"))
    with pytest.raises(ValueError, match=r"fail without a mutation:\n(.|\n)*test_price"):
        run(project, of_shop(KILLED))


@pytest.mark.parametrize(
    ("statuses", "code"),
    [(["killed", "killed"], 0), (["killed", "survived"], 1), (["killed", "stale"], 1),
     (["timeout", "killed"], 1), (["killed", "broken"], 1), (["killed"], 1)],
)  # fmt: skip
def test_the_program_fails_unless_every_mutation_is_killed(
    statuses: list[str], code: int, monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    def outcomes(mutations: list[Mutation], *_: object, **__: object) -> Iterator[Outcome]:
        return (Outcome(m, s, "why") for m, s in zip(mutations, statuses, strict=False))

    monkeypatch.setattr(program, "MUTATIONS", [KILLED, SURVIVES])
    monkeypatch.setattr(program, "run_all", outcomes)
    assert program.main([]) == code
    printed = capsys.readouterr().out
    assert f"{statuses.count('killed')} killed" in printed
    last = [line for line in printed.splitlines() if not line.startswith("[")][2:]
    assert len(last) == len(statuses) - statuses.count("killed")


def test_mutations_are_listed_and_chosen_by_the_start_of_their_names(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(program, "MUTATIONS", [KILLED, SURVIVES])
    assert program.main(["--list", "--only", "price", "name-is"]) == 0
    assert capsys.readouterr().out == (
        "price-is-sum: shop.py: prices are wrong\nname-is-lost: shop.py: nobody knows the shop\n"
    )
    assert program.main(["--list", "--only", "name"]) == 0
    assert "price" not in capsys.readouterr().out
    assert program.main(["--only", "prices"]) == 2
    assert capsys.readouterr().err == "error: no mutation `prices`; --list shows the names\n"

"""`decant bench`: what it offers, what it writes, how it ends."""

import json
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from benchmarks import cli as bench_cli
from benchmarks.harness.checkout import Clone
from decant import cli
from decant.report.results import Outcome


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A committed project that holds one file."""
    root = tmp_path / "project"
    root.mkdir()
    (root / "dvc.yaml").write_text("stages: {}\n")
    for command in (
        ("init", "-q"),
        ("add", "."),
        ("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", "all"),
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


def offer(monkeypatch: pytest.MonkeyPatch, *failures: str) -> list[Path]:
    """Put a benchmark `try` into the table; gives the folders it worked in."""
    worked: list[Path] = []

    def bench(clone: Clone, log: Any) -> Outcome:
        assert (clone.root / "dvc.yaml").is_file()
        worked.append(clone.root)
        log("half way")
        return Outcome({}, [1], failures=list(failures))

    module = types.ModuleType("tried")
    module.bench = bench  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tried", module)
    monkeypatch.setitem(bench_cli.BENCHMARKS, "try", ("tried", "a benchmark for this test"))
    return worked


def test_help_lists_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["bench", "--help"])
    said = capsys.readouterr().out
    for name, (_, text) in bench_cli.BENCHMARKS.items():
        assert name in said
        assert text in said


@pytest.mark.parametrize(
    ("name", "hint"), [("fault", "did you mean `faults`?"), ("zzz", "benchmarks: demo, faults")]
)
def test_an_unknown_benchmark_names_the_nearest(
    name: str, hint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", name]) == cli.MISTAKE
    assert hint in capsys.readouterr().err


def test_it_writes_two_files_and_prints_one_document(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worked = offer(monkeypatch)
    assert cli.main(["bench", "try", "--json", "--root", str(project)]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out)["name"] == "try"
    assert "half way" in captured.err
    written = project / "docs/results"
    assert sorted(path.name for path in written.iterdir()) == ["try.json", "try.md"]
    assert json.loads((written / "try.json").read_text()) == json.loads(captured.out)
    assert not worked[0].parent.exists()


def test_without_json_stdout_stays_empty_and_clones_can_be_kept(
    project: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr(bench_cli.tempfile, "tempdir", str(tmp_path))
    worked = offer(monkeypatch)
    assert cli.main(["bench", "try", "--keep", "--root", str(project)]) == 0
    assert capsys.readouterr().out == ""
    assert worked[0].exists()


def test_it_fails_when_something_does_not_hold(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, "release.two_clones: they differ")
    assert cli.main(["bench", "try", "--root", str(project)]) == 1
    assert "failed: release.two_clones: they differ" in capsys.readouterr().err
    assert "they differ" in (project / "docs/results/try.md").read_text()


def test_what_is_not_committed_is_said_not_to_be_measured(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch)
    (project / "params.yaml").write_text("seed: 1\n")
    assert cli.main(["bench", "try", "--root", str(project)]) == 0
    assert "such as params.yaml, are not measured" in capsys.readouterr().err


def test_outside_the_project_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "demo", "--root", str(tmp_path)]) == cli.MISTAKE
    assert "dvc.yaml is missing" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["demo", "--protocol", "p1"], "--protocol: demo is not a data set"),
        (["demo", "--seeds", "2"], "--seeds: demo is not a data set"),
        (
            ["faults", "--from", "x", "--minutes", "1"],
            "--from, --minutes: faults is not a data set",
        ),
        (["movielens-1m", "--seeds", "0"], "invalid --seeds 0: expected at least 1"),
        (["demo-losses", "--without", "x"], "--without: demo-losses does not compare the students"),
        (
            ["movielens-1m", "--without", "prior"],
            "--without: movielens-1m does not compare the students",
        ),
    ],
)
def test_an_option_without_effect_is_refused(
    project: Path, options: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert cli.main(["bench", *options, "--root", str(project)]) == cli.MISTAKE
    assert message in capsys.readouterr().err
    assert not (project / bench_cli.KEPT).exists()


def test_the_variants_that_are_left_out_reach_their_benchmark(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def bench(clone: Clone, log: Any, **options: Any) -> Outcome:
        asked.append(options)
        return Outcome({}, [1])

    monkeypatch.setattr("benchmarks.experiments.students.bench", bench)
    root = ["--root", str(project)]
    assert cli.main(["bench", "demo-groups", *root, "--without", "prior,cvar"]) == 0
    assert cli.main(["bench", "demo-losses", *root]) == 0
    assert [(options["without"], options["losses"]) for options in asked] == [
        (["prior", "cvar"], False),
        ([], True),
    ]
    written = json.loads((project / "docs/results/demo-groups.json").read_text())
    assert written["command"] == "decant bench demo-groups --without prior,cvar"


@pytest.mark.parametrize(
    ("name", "place"),
    [
        ("movielens-1m", "experiments.data_sets"),
        ("movielens-1m-groups", "experiments.students"),
        ("training", "throughput.compare"),
    ],
)
def test_the_protocol_reaches_each_benchmark_of_movielens_1m(
    project: Path, name: str, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def bench(clone: Clone, log: Any, **options: Any) -> Outcome:
        asked.append(options)
        return Outcome({}, [1])

    monkeypatch.setattr(f"benchmarks.{place}.bench", bench)
    assert cli.main(["bench", name, "--protocol", "p1", "--root", str(project)]) == 0
    assert [options["protocol"] for options in asked] == ["p1"]
    written = json.loads((project / f"docs/results/{name}.json").read_text())
    assert written["command"] == f"decant bench {name} --protocol p1"


def test_a_profile_of_ids_alone_has_a_page_of_its_own(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "benchmarks.experiments.data_sets.bench", lambda clone, log, **options: Outcome({}, [1])
    )
    words = ["bench", "movielens-1m", "--protocol", "p1", "--profile", "ids"]
    assert cli.main([*words, "--root", str(project)]) == 0
    written = project / "docs/results"
    assert sorted(p.name for p in written.iterdir()) == [
        "movielens-1m-ids.json",
        "movielens-1m-ids.md",
    ]
    command = json.loads((written / "movielens-1m-ids.json").read_text())["command"]
    assert command == "decant bench movielens-1m --profile ids --protocol p1"


def test_a_data_set_is_measured_in_a_clone_that_stays(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[dict[str, Any]] = []

    def bench(clone: Clone, log: Any, **options: Any) -> Outcome:
        asked.append({"root": clone.root, **options})
        return Outcome({}, [1])

    monkeypatch.setattr("benchmarks.experiments.data_sets.bench", bench)
    for _ in range(2):
        command = ["bench", "movielens-100k", "--minutes", "5", "--root", str(project)]
        assert cli.main(command) == 0
    kept = project / bench_cli.KEPT / "movielens-100k"
    expected = {
        "root": kept, "source": "movielens-100k", "given": None, "profile": "full", "seeds": 3,
        "minutes": 5.0,
    }  # fmt: skip
    assert asked == [expected, expected]
    assert (kept / "dvc.yaml").is_file()

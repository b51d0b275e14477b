"""`decant bench`: what it offers, what it writes, how it ends."""

import datetime
import json
import shutil
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest

from benchmarks import cli as bench_cli
from benchmarks.catalogue import Benchmark
from benchmarks.harness.checkout import Clone
from benchmarks.provenance.looks import LOOKS
from decant import cli
from decant.report.results import Outcome

REPOSITORY = Path(__file__).resolve().parents[2]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A committed project with settings, presets and a list of looks at test."""
    root = tmp_path / "project"
    (root / "docs").mkdir(parents=True)
    (root / "dvc.yaml").write_text("stages: {}\n")
    (root / "docs/test-looks.md").write_text("# Looks\n\n| date | commit |\n|---|---|\n")
    shutil.copy(REPOSITORY / "params.yaml", root / "params.yaml")
    shutil.copytree(REPOSITORY / "presets", root / "presets")
    for command in (
        ("init", "-q"),
        ("add", "."),
        ("-c", "user.name=a", "-c", "user.email=a@b.c", "commit", "-q", "-m", "all"),
    ):
        subprocess.run(["git", *command], cwd=root, check=True)
    return root


@pytest.fixture(autouse=True)
def fetched(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, Path]]:
    """The downloads that were asked for; none is made."""
    asked: list[tuple[str, Path]] = []

    def fetch(name: str, destination: Path) -> Path:
        asked.append((name, destination))
        return destination

    monkeypatch.setattr(bench_cli, "fetch", fetch)
    return asked


def offer(monkeypatch: pytest.MonkeyPatch, *failures: str, ranks: bool = False) -> list[Path]:
    """Put a benchmark `try` into the table; gives the folders it worked in."""
    worked: list[Path] = []

    def bench(clone: Clone, log: Any, window: str = "none") -> Outcome:
        assert (clone.root / "dvc.yaml").is_file()
        worked.append(clone.root)
        log("half way")
        return Outcome({}, [1], failures=list(failures), shown=f"figures of {window}")

    module = types.ModuleType("tried")
    module.bench = bench  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "tried", module)
    tried = Benchmark("tried", "a benchmark for this test", ranks=ranks, stages=())
    monkeypatch.setitem(bench_cli.BENCHMARKS, "try", tried)
    return worked


def test_help_lists_every_benchmark(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        cli.main(["bench", "--help"])
    said = capsys.readouterr().out
    for name, benchmark in bench_cli.BENCHMARKS.items():
        assert name in said
        assert benchmark.text in said


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


def test_without_test_figures_are_of_validation_and_kept_out_of_the_results(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, ranks=True)
    before = (project / LOOKS).read_text()
    assert cli.main(["bench", "try", "--root", str(project)]) == 0
    said = capsys.readouterr().err
    assert "figures of validation" in said and "wrote .decant/bench/try.validation.md" in said
    written = json.loads((project / ".decant/bench/try.validation.json").read_text())
    assert written["command"] == "decant bench try"
    assert (project / ".decant/bench/try.validation.md").is_file()
    assert not (project / "docs/results").exists()
    assert (project / LOOKS).read_text() == before


def test_a_look_at_test_is_entered_with_what_is_decided_on_it(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    offer(monkeypatch, ranks=True)
    asked = ["bench", "try", "--test", "whether  a | b\nships", "--root", str(project)]
    assert cli.main(asked) == 0
    assert "figures of test" in capsys.readouterr().err
    written = json.loads((project / "docs/results/try.json").read_text())
    assert written["command"] == "decant bench try --test 'whether a | b ships'"
    row = (project / LOOKS).read_text().splitlines()[-1]
    begin = f"| {datetime.date.today()} | `{written['commit'][:7]}` | demo | "
    assert row.startswith(f"{begin}`decant bench try --test")
    assert row.endswith(" | whether a \\| b ships |")


def test_a_look_for_no_decision_or_without_a_list_is_refused(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worked = offer(monkeypatch, ranks=True)
    assert cli.main(["bench", "try", "--test", " ", "--root", str(project)]) == cli.MISTAKE
    assert "say what will be decided on the test window" in capsys.readouterr().err
    (project / LOOKS).unlink()
    assert cli.main(["bench", "try", "--test", "x", "--root", str(project)]) == cli.MISTAKE
    assert "test-looks.md is missing" in capsys.readouterr().err
    assert worked == []


def test_how_the_figures_came_about_is_beside_them(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    offer(monkeypatch)
    assert cli.main(["bench", "try", "--root", str(project)]) == 0
    written = json.loads((project / "docs/results/try.json").read_text())["provenance"]
    assert written["chosen"] == {
        "profile": None, "without": [], "protocol": None, "groups": None, "users": True,
    }  # fmt: skip
    assert set(written["machine"]) >= {"cpu", "python"}
    assert written["code"] == {"tried": "missing"}  # it is in no file of the clone
    assert "- machine: " in (project / "docs/results/try.md").read_text()


def test_the_status_of_results_is_told_without_measuring(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    worked = offer(monkeypatch)
    assert cli.main(["bench", "try", "--root", str(project)]) == 0
    worked.clear()
    capsys.readouterr()
    assert cli.main(["bench", "--status", "--json", "--root", str(project)]) == 0
    all_of_them = json.loads(capsys.readouterr().out)
    (status,) = [one for one in all_of_them if one["state"] != "never measured"]
    assert {one["name"] for one in all_of_them} == {*bench_cli.BENCHMARKS}
    assert (status["name"], status["state"], status["command"]) == (
        "try", "current", "decant bench try",
    )  # fmt: skip
    assert cli.main(["bench", "--status", "demo", "--root", str(project)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "demo  never measured: there is no results file",
        "      again: decant bench demo --test 'WHAT IT DECIDES'",
    ]
    assert cli.main(["bench", "--status", "dem", "--root", str(project)]) == cli.MISTAKE
    assert "no benchmark `dem`; did you mean `demo`" in capsys.readouterr().err
    assert worked == []
    assert cli.main(["bench", "--status", "--seeds", "2", "--root", str(project)]) == cli.MISTAKE
    assert "--seeds: has no effect with --status" in capsys.readouterr().err


def test_without_a_name_the_benchmarks_are_listed(capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench"]) == cli.MISTAKE
    assert "name a benchmark: demo, faults" in capsys.readouterr().err


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
    with (project / "params.yaml").open("a") as params:
        params.write("# a remark\n")
    assert cli.main(["bench", "try", "--root", str(project)]) == 0
    assert "such as params.yaml, are not measured" in capsys.readouterr().err


def test_outside_the_project_it_says_so(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["bench", "demo", "--root", str(tmp_path)]) == cli.MISTAKE
    assert "dvc.yaml is missing" in capsys.readouterr().err


def noted(module: str, monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """The options of every call of a benchmark, which measures nothing."""
    asked: list[dict[str, Any]] = []

    def bench(clone: Clone, log: Any, **options: Any) -> Outcome:
        asked.append(options)
        return Outcome({}, [1])

    monkeypatch.setattr(f"benchmarks.{module}.bench", bench)
    return asked


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["demo", "--protocol", "p1"], "--protocol: demo takes no such option"),
        (["online-retail", "--protocol", "p1"], "--protocol: online-retail takes --from"),
        (["demo", "--seeds", "2"], "--seeds: demo takes no such option"),
        (
            ["faults", "--from", "x", "--minutes", "1"],
            "--from, --minutes: faults takes no such option",
        ),
        (["training", "--profile", "full"], "--profile: training takes --from, --protocol"),
        (["faults", "--test", "x"], "--test: faults does not rank a test window"),
        (["demo-losses", "--test", "x"], "--test: demo-losses does not rank a test window"),
        (["movielens-1m", "--seeds", "0"], "invalid --seeds 0: expected at least 1"),
        (["movielens-1m", "--minutes", "0"], "invalid --minutes 0: expected more than 0"),
        (["training", "--minutes", "-1"], "invalid --minutes -1: expected more than 0"),
        (["movielens-1m", "--minutes", "nan"], "invalid --minutes nan: expected more than 0"),
        (
            ["movielens-100k", "--profile", "ids"],
            "no profile 'ids': movielens-100k has quick, full",
        ),
        (["demo-losses", "--without", "x"], "--without: demo-losses takes --from, --profile"),
        (["movielens-1m", "--without", "x"], "--without: movielens-1m takes --from, --profile"),
        (["movielens-1m", "--groups", "activity"], "--groups: movielens-1m takes --from"),
        (["demo-losses", "--groups", "activity"], "--groups: demo-losses takes --from"),
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
    asked = noted("experiments.students", monkeypatch)
    root = ["--root", str(project)]
    command = ["bench", "demo-groups", "--without", "prior,cvar", "--test", "nothing"]
    assert cli.main([*command, *root]) == 0
    assert cli.main(["bench", "demo-losses", *root]) == 0
    assert [(options.get("without"), options["losses"]) for options in asked] == [
        (["prior", "cvar"], False),
        (None, True),
    ]
    written = json.loads((project / "docs/results/demo-groups.json").read_text())
    assert written["command"] == "decant bench demo-groups --without prior,cvar --test nothing"
    assert written["provenance"]["chosen"]["without"] == ["prior", "cvar"]


def test_other_groups_reach_their_benchmark_and_have_a_page_of_their_own(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = noted("experiments.students", monkeypatch)
    command, root = ["bench", "demo-groups", "--test", "x"], ["--root", str(project)]
    for given in (["--groups", "activity"], ["--groups", "preset"], []):
        assert cli.main([*command, *given, *root]) == 0
    assert [options["groups"] for options in asked] == ["activity", None, None]
    results = project / "docs/results"
    assert {path.stem for path in results.iterdir()} == {"demo-groups", "demo-groups-activity"}
    written = json.loads((results / "demo-groups-activity.json").read_text())
    assert written["command"] == "decant bench demo-groups --groups activity --test x"
    assert written["provenance"]["chosen"]["groups"] == "activity"
    of_preset = json.loads((results / "demo-groups.json").read_text())
    assert of_preset["command"] == "decant bench demo-groups --test x"
    assert of_preset["provenance"]["chosen"]["groups"] is None


def test_a_profile_of_ids_and_other_groups_are_both_in_the_name_of_the_page() -> None:
    given = ["bench", "movielens-1m-groups", "--profile", "ids", "--groups", "activity"]
    arguments = bench_cli.parse([*given, "--test", "x"])
    name, _ = bench_cli.place_of(arguments, bench_cli.BENCHMARKS["movielens-1m-groups"])
    assert name == "movielens-1m-groups-ids-activity"


def test_unknown_groups_are_named_before_anything_is_measured(
    project: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("benchmarks.experiments.students.bench", None)
    command = ["bench", "demo-groups", "--groups", "activities", "--root", str(project)]
    assert cli.main(command) == cli.MISTAKE
    assert "error: no groups `activities`; did you mean `activity`?" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("given", "command"),
    [
        (
            ["movielens-1m", "--from", "/a/b", "--minutes", "5"],
            "decant bench movielens-1m --from DIR",
        ),
        (
            ["movielens-1m", "--seeds", "2", "--profile", "quick"],
            "decant bench movielens-1m --profile quick --seeds 2",
        ),
        (
            ["demo-groups", "--groups", "activity"],
            "decant bench demo-groups --groups activity",
        ),
        (["training", "--minutes", "3"], "decant bench training --minutes 3"),
        (["demo", "--test", "what it is"], "decant bench demo --test 'what it is'"),
    ],
)
def test_the_command_has_every_option_that_changes_figures(given: list[str], command: str) -> None:
    arguments = bench_cli.parse(["bench", *given])
    assert bench_cli.command_of(arguments, bench_cli.BENCHMARKS[given[0]]) == command


@pytest.mark.parametrize(
    ("name", "module"),
    [
        ("movielens-1m", "experiments.data_sets"),
        ("movielens-1m-groups", "experiments.students"),
        ("training", "throughput.compare"),
    ],
)
def test_the_protocol_reaches_each_benchmark_of_movielens_1m(
    project: Path, name: str, module: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = noted(f"{module}", monkeypatch)
    assert cli.main(["bench", name, "--protocol", "p1", "--root", str(project)]) == 0
    assert [options["protocol"] for options in asked] == ["p1"]
    ranks = bench_cli.BENCHMARKS[name].ranks
    place = f".decant/bench/{name}.validation.json" if ranks else f"docs/results/{name}.json"
    written = json.loads((project / place).read_text())
    assert written["command"] == f"decant bench {name} --protocol p1"
    assert written["provenance"]["chosen"]["protocol"] == "p1"


def test_raw_files_are_those_given_or_in_the_clone_or_in_the_project_or_downloaded(
    project: Path, fetched: list[tuple[str, Path]], monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = noted("experiments.data_sets", monkeypatch)
    place = "data/raw/online-retail"

    def given(*words: str) -> Path | None:
        assert cli.main(["bench", "online-retail", *words, "--root", str(project)]) == 0
        result: Path | None = asked[-1]["given"]
        return result

    downloads = project / ".decant/bench/raw/online-retail"
    assert given() == downloads and fetched == [("online-retail", downloads)]
    (project / place).mkdir(parents=True)
    assert given() == project / place
    (project / bench_cli.KEPT / "online-retail" / place).mkdir(parents=True)
    assert given() is None
    assert given("--from", str(project)) == project
    assert len(fetched) == 1


def test_a_profile_of_ids_alone_has_a_page_of_its_own(
    project: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "benchmarks.experiments.data_sets.bench", lambda clone, log, **options: Outcome({}, [1])
    )
    words = ["bench", "movielens-1m", "--protocol", "p1", "--profile", "ids", "--test", "why"]
    assert cli.main([*words, "--root", str(project)]) == 0
    written = project / "docs/results"
    assert sorted(p.name for p in written.iterdir()) == [
        "movielens-1m-ids.json",
        "movielens-1m-ids.md",
    ]
    command = json.loads((written / "movielens-1m-ids.json").read_text())["command"]
    assert command == "decant bench movielens-1m --profile ids --protocol p1 --test why"


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
        "root": kept, "source": "movielens-100k", "given": kept.parent / "raw/movielens-100k",
        "profile": "full", "seeds": 3, "minutes": 5.0, "window": "validation",
    }  # fmt: skip
    assert asked == [expected, expected]
    assert (kept / "dvc.yaml").is_file()

"""Exact reruns after a change, and identical releases from different workspaces."""

import socket
import time
from collections.abc import Callable, Iterator, Set
from contextlib import contextmanager
from pathlib import Path

from benchmarks.harness.checkout import Clone, Ended
from benchmarks.harness.demo_workspace import (
    CHANGES,
    ShopError,
    change_params,
    change_text,
    describe,
    downstream,
    lock_of,
    production,
    release_of,
    with_other_inputs,
)
from decant.report.results import Outcome

STUDENT = "women_under_35"
RULE = "gender == 'F' and age < 35", "gender == 'F' and age < 30"  # only of that student
PURCHASES = "data/raw/demo/purchases.csv"
PRUNE = "decant/compression/prune.py"
FUNCTION = "descending=True", "descending=False"  # prunes the most instead of the least important
COMMENT = "\n# a remark\n"
FOR_ALL = {"segments", "shrink", "evaluate", "gate", "report", "candidate"}  # read every rule
BUCKET = "decant-bench"
CREDENTIALS = {
    "AWS_ACCESS_KEY_ID": "bench",
    "AWS_SECRET_ACCESS_KEY": "bench",
    "AWS_DEFAULT_REGION": "us-east-1",
}
STARTUP = 60.0  # seconds until the object store answers
NONE: frozenset[str] = frozenset()
Log = Callable[[str], None]


class Tries:
    """Runs the flow after changes, and records which stages ran."""

    def __init__(self, shop: Clone, outcome: Outcome, log: Log) -> None:
        self.shop, self.outcome, self.log = shop, outcome, log

    def run(self, name: str, within: Set[str], least: Set[str] = NONE) -> Ended:
        """Run the flow; exactly the stages with changed inputs must run.

        Args:
            within: stages that may run. least: stages that must run.
        """
        before = lock_of(self.shop)
        ended = self.shop.flow()
        after = lock_of(self.shop)
        made = ended.stages("ran", "restored")
        due = with_other_inputs(before, after)
        problems = [ended.error] if ended.status else []
        for problem, stages in (
            ("ran with the same inputs", made - due),
            ("did not run with other inputs", due - made),
            ("must not run", made - within),
            ("must run", least - made),
        ):
            problems += [f"{problem}: {', '.join(sorted(stages))}"] if stages else []
        self.note(name, ended, len(after))
        self.outcome.holds(f"{name}.exact", not problems, "; ".join(problems))
        return ended

    def note(self, name: str, ended: Ended, stages: int) -> None:
        """Record the stages that a command ran."""
        ran, restored = ended.stages("ran"), ended.stages("restored")
        self.outcome.measured(f"{name}.ran", len(ran), stages)
        self.outcome.measured(f"{name}.restored", len(restored), stages)
        self.outcome.measured(f"{name}.seconds", round(ended.seconds, 1))
        summary = f"ran {', '.join(sorted(ran)) or 'nothing'}"
        summary += f"; restored {', '.join(sorted(restored))}" if restored else ""
        self.outcome.protocol[f"after `{name}`"] = summary
        self.log(f"{name}: {summary} in {ended.seconds:.0f} s")


def bench(project: Clone, log: Log) -> Outcome:
    """Measure all workspaces, then all changes."""
    project = Clone(project.root, CREDENTIALS)
    change_params(project, CHANGES)
    elsewhere, by_dvc = project.copy("elsewhere/in/another/folder"), project.copy("by-dvc")
    outcome = Outcome(protocol(), [int(project.read("params.yaml")["seed"])])
    log("undisturbed run")
    release = release_of(project.flow(), project)
    log("the same in another folder, with another key")
    same_release(outcome, "two_clones", elsewhere.flow(), elsewhere, release)
    log("the same with plain `dvc repro`")
    same_release(outcome, "dvc_repro", by_dvc.run("-m", "dvc", "repro"), by_dvc, release)
    tries = Tries(project, outcome, log)
    tries.run("nothing", within=NONE)
    one_stage(tries)
    with reverted(project, PURCHASES, PRUNE, "params.yaml"):
        changes(tries)
        changed = production(project)
    with object_store(project) as endpoint:
        settings = {"kind": "s3", "bucket": BUCKET, "endpoint": endpoint}
        change_params(project, {"registry": settings})
        in_a_bucket(tries, release, changed)
    return outcome


def protocol() -> dict[str, str]:
    """Description of the protocol."""
    return {
        "shop": describe(),
        "exact": "the stages that ran (or were restored from DVC's cache) are those whose command, "
        "settings or inputs changed in dvc.lock, and are among the expected ones",
        "line": f"one purchase added to {PURCHASES}",
        "comment": f"a comment added to {PRUNE}",
        "function": f"in {PRUNE}, {FUNCTION[0]} becomes {FUNCTION[1]}",
        "rule": f"of {STUDENT}, {RULE[0]} becomes {RULE[1]}",
        "one_stage": f"`python -m flows.rerun distill@{STUDENT}`",
        "back": "all changes reverted, with the registry in a bucket of moto's server",
    }


def same_release(
    outcome: Outcome, name: str, ended: Ended, shop: Clone, release: str | None
) -> None:
    """Check that another run gave the same release."""
    made = shop.candidate()
    problem = ended.error if ended.status else f"release {made}, the first run's {release}"
    outcome.holds(f"release.{name}", not ended.status and made == release, problem)


def one_stage(tries: Tries) -> None:
    """Rerun one student's distillation by name."""
    name = f"distill@{STUDENT}"
    ended = tries.shop.flow("rerun", name)
    tries.note("one_stage", ended, 1)
    tries.outcome.holds("one_stage.exact", ended.stages("ran") == {name}, ended.error)


def changes(tries: Tries) -> None:
    """Change a line, a comment, a function and a rule in turn, in one workspace."""
    lock, root = lock_of(tries.shop), tries.shop.root
    add_purchase(root / PURCHASES)
    tries.run("line", within=downstream(lock, "raw"), least={"ingest", "validate", "features"})
    with (root / PRUNE).open("a", encoding="utf-8") as code:
        code.write(COMMENT)
    tries.run("comment", within=NONE)
    change_text(root / PRUNE, *FUNCTION)
    compressions = {stage for stage in lock if stage.startswith("compress@")}
    below = compressions.union(*(downstream(lock, stage) for stage in compressions))
    tries.run("function", within=below, least=compressions | {"evaluate", "candidate"})
    change_text(root / "params.yaml", *RULE)
    own = {f"distill@{STUDENT}", f"compress@{STUDENT}"}
    tries.run("rule", within=own | FOR_ALL, least=own | {"segments", "candidate"})


def add_purchase(path: Path) -> None:
    """Add a synthetic purchase: the last buyer's, of the item bought first."""
    header, first, *_, last = path.read_text(encoding="utf-8").splitlines()
    names = header.split(",")
    line = dict(zip(names, last.split(","), strict=True))
    line["item"] = dict(zip(names, first.split(","), strict=True))["item"]
    with path.open("a", encoding="utf-8") as file:
        file.write(",".join(line.values()) + "\n")


@contextmanager
def reverted(shop: Clone, *places: str) -> Iterator[None]:
    """Restore the content of files after the block."""
    contents = {place: (shop.root / place).read_bytes() for place in places}
    yield
    for place, content in contents.items():
        (shop.root / place).write_bytes(content)


def in_a_bucket(tries: Tries, release: str, changed: str | None) -> None:
    """Publish to S3, roll back, and promote again."""
    shop, outcome = tries.shop, tries.outcome
    ended = tries.run("back", within=set(lock_of(shop)))
    outcome.holds(
        "back.nothing_computed", not ended.stages("ran"), str(sorted(ended.stages("ran")))
    )
    same_release(outcome, "s3", ended, shop, release)
    in_production(outcome, "s3.promoted", shop, release)
    change_params(shop, {"compress": {"max_loss": 0.9}})
    second = release_of(shop.flow(), shop)
    in_production(outcome, "s3.second_promoted", shop, second)
    outcome.holds("s3.another_release", second not in (release, changed), f"both {second}")
    shop.decant("rollback")
    in_production(outcome, "s3.rolled_back", shop, release)
    shop.decant("promote", second)
    in_production(outcome, "s3.promoted_again", shop, second)


def in_production(outcome: Outcome, name: str, shop: Clone, release: str) -> None:
    """Check that production points at a release."""
    current = production(shop)
    outcome.holds(name, current == release, f"production points at {current}, expected {release}")


@contextmanager
def object_store(shop: Clone) -> Iterator[str]:
    """Run an object store with a bucket on loopback; yield its address.

    Raises:
        ShopError: it does not start.
    """
    import boto3
    from botocore.exceptions import ConnectionError as NotYet

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    server = shop.start("-m", "moto.server", "-H", "127.0.0.1", "-p", str(port))
    client = boto3.client(
        "s3",
        endpoint_url=address,
        aws_access_key_id=CREDENTIALS["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=CREDENTIALS["AWS_SECRET_ACCESS_KEY"],
        region_name=CREDENTIALS["AWS_DEFAULT_REGION"],
    )
    try:
        deadline = time.monotonic() + STARTUP
        while True:
            try:
                client.create_bucket(Bucket=BUCKET)
                break
            except NotYet:
                if server.over() or time.monotonic() > deadline:
                    raise ShopError(f"moto's server: {server.end().error}") from None
                time.sleep(0.2)
        yield address
    finally:
        server.kill()
        server.end()

"""A small project of a few trivial stages, driven by the real machinery."""

import logging
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import boto3
import psutil
import pytest
from moto.server import ThreadedMotoServer

pytest_plugins = ["tests.fixtures.known_data", "tests.fixtures.releases", "tests.fixtures.service"]
REPOSITORY = Path(__file__).resolve().parents[1]
BUCKET = "releases"

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # a shell starts background jobs so, and their children inherit it: tests of Ctrl-C would hang
    signal.signal(signal.SIGINT, signal.default_int_handler)

STEP = '''"""A trivial step: NAME OUTPUT INPUT…; control/NAME can make it fail, crash or wait."""
import hashlib, json, os, pathlib, sys, time
from decant.starter import end_with_starter
end_with_starter()
name, output, *inputs = sys.argv[1:]
with open("control/log", "a") as log:
    log.write(name + "\\n")
control = pathlib.Path("control", name.replace("@", "-"))
order = control.read_text() if control.exists() else ""
if order == "fail":
    sys.exit("warning: not this one\\nerror: users.csv:3: age -4 is impossible")
if order == "crash":
    raise ZeroDivisionError("nothing to divide by")
while order == "wait" and control.exists():
    pathlib.Path("control/waiting-" + control.name).write_text(str(os.getpid()))
    time.sleep(0.05)
digest = hashlib.sha256()
for place in inputs:
    place = pathlib.Path(place)
    for path in sorted(p for p in [place, *place.rglob("*")] if p.is_file()):
        digest.update(path.read_bytes())
folder = pathlib.Path(output)
folder.mkdir(parents=True, exist_ok=True)
(folder / "out.txt").write_text(digest.hexdigest())
(folder / "summary.json").write_text(json.dumps({"inputs": len(inputs)}))
print("made", output)
'''

RAW = """import pathlib
folder = pathlib.Path("data/raw/demo")
folder.mkdir(parents=True, exist_ok=True)
(folder / "log.csv").touch()
"""

DVC_YAML = """
stages:
  raw:
    cmd: exec python raw.py
    params: [raw.seed]
    outs:
      - data/raw/demo: {persist: true}
  ingest:
    cmd: exec python step.py ingest data/ingested data/raw/demo
    deps: [data/raw/demo]
    outs: [data/ingested]
  names:
    cmd: exec python step.py names data/names names.txt
    deps: [names.txt]
    outs: [data/names]
  distill:
    foreach: ${students}
    do:
      cmd: exec python step.py distill@${key} data/models/${key} data/ingested
      deps: [data/ingested]
      outs: ["data/models/${key}"]
  evaluate:
    cmd: exec python step.py evaluate data/evaluation data/models data/names
    deps: [data/models, data/names]
    outs: [data/evaluation]
"""

PARAMS = """
raw: {seed: 1}
students:
  general: {init: teacher}
  women: {init: general, where: "gender == 'F'"}
  men: {init: general, where: "gender == 'M'"}
"""


@dataclass(frozen=True)
class Project:
    """A folder with a pipeline of trivial stages."""

    root: Path

    def order(self, step: str, what: str) -> Path:
        """Tell a step to `fail`, `crash` or `wait` until the returned file is removed."""
        path = self.root / "control" / step.replace("@", "-")
        path.write_text(what)
        return path

    def started(self) -> list[str]:
        """Names of the steps whose program was started, in order; forgets them."""
        log = self.root / "control" / "log"
        names = log.read_text().split() if log.exists() else []
        log.unlink(missing_ok=True)
        return names

    def python(self, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run the interpreter here."""
        return run_python(self.root, *arguments)

    def running(self) -> list[str]:
        """Command lines of the processes that work here."""
        result = []
        for process in psutil.process_iter():
            try:
                if Path(process.cwd()).is_relative_to(self.root):
                    result.append(" ".join(process.cmdline()))
            except (psutil.Error, OSError):
                continue  # it has ended, or is not ours to look at
        return result

    def add_row(self) -> None:
        """One more line in the raw log."""
        with (self.root / "data/raw/demo/log.csv").open("a") as file:
            file.write("one more\n")


@pytest.fixture
def aws(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Credentials of nobody, and none of the machine's."""
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "test")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "test")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    for name in ("AWS_CONFIG_FILE", "AWS_SHARED_CREDENTIALS_FILE"):
        monkeypatch.setenv(name, str(tmp_path / "none"))
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_DEFAULT_REGION", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(scope="session")
def s3_endpoint() -> Iterator[str]:
    """An S3 server on loopback with one bucket, `releases`."""
    logging.getLogger("werkzeug").setLevel(logging.ERROR)
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0)
    server.start()
    host, port = server.get_host_and_port()
    endpoint = f"http://{host}:{port}"
    client = boto3.Session("test", "test", region_name="us-east-1").client(
        "s3", endpoint_url=endpoint
    )
    client.create_bucket(Bucket=BUCKET)
    yield endpoint
    server.stop()


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A project of five kinds of trivial stages, without Git, that has not run yet."""
    return new_project(tmp_path / "project")


@pytest.fixture
def finished(tmp_path: Path, finished_once: Project) -> Project:
    """The same project after every stage has run."""
    shutil.copytree(finished_once.root, tmp_path / "finished")
    return Project(tmp_path / "finished")


@pytest.fixture(scope="session")
def finished_once(tmp_path_factory: pytest.TempPathFactory) -> Project:
    """One finished project for all tests to copy."""
    project = new_project(tmp_path_factory.mktemp("once") / "project")
    done = run_python(project.root, "-m", "dvc", "repro", "--quiet")
    assert done.returncode == 0, done.stderr
    project.started()
    return project


def new_project(root: Path) -> Project:
    """Write the project's files."""
    (root / "control").mkdir(parents=True)
    (root / "step.py").write_text(STEP)
    (root / "raw.py").write_text(RAW)
    (root / "names.txt").write_text("names\n")
    (root / "dvc.yaml").write_text(DVC_YAML)
    (root / "params.yaml").write_text(PARAMS)
    (root / ".dvc").mkdir()
    shutil.copy(REPOSITORY / ".dvc" / "config", root / ".dvc" / "config")
    shutil.copy(REPOSITORY / ".dvcignore", root / ".dvcignore")
    (root / ".dvc" / "config.local").write_text("[core]\n    no_scm = true\n")
    return Project(root)


def run_python(
    root: Path, *arguments: str, timeout: float = 120
) -> subprocess.CompletedProcess[str]:
    """Run the interpreter in `root` with the repository importable."""
    return subprocess.run(
        [sys.executable, *arguments],
        cwd=root,
        env={
            **os.environ,
            "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
            "PYTHONPATH": str(REPOSITORY),
        },
        capture_output=True,
        text=True,
        timeout=timeout,
        check=False,
    )

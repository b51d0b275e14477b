"""DVC in a child process of a flow, which ends with its parent.

`python -m tasks.runner.child state` prints the graph and the stale stages as one JSON document;
`python -m tasks.runner.child dvc …` runs DVC's command line.
"""

import json
import os
import sys
from pathlib import Path
from typing import Any

from decant.files import unusable

OWN = ".dvc"  # DVC's internal folder


def state(root: Path) -> dict[str, Any]:
    """DVC's view of a project.

    Returns:
        `stages`: name -> {deps, outs} as paths relative to `root`, and `known`: it has run before;
        `stale`: DVC's status; `remote`: name of the default remote, None if unset.
    """
    from dvc.repo import Repo

    with Repo(str(root), _wait_for_lock=True) as repo:
        stages = {stage.addressing: _describe(stage, root) for stage in repo.index.stages}
        remote = repo.config["core"].get("remote")
        return {"stages": stages, "stale": repo.status(), "remote": remote}


def _describe(stage: Any, root: Path) -> dict[str, Any]:
    return {
        "known": any(out.hash_info for out in stage.outs),
        "deps": [os.path.relpath(str(dep.fs_path), root) for dep in stage.deps],
        "outs": [os.path.relpath(str(out.fs_path), root) for out in stage.outs],
    }


def main(arguments: list[str]) -> int:
    """Run one command; returns the exit status."""
    command, *rest = arguments
    if command == "dvc":
        from dvc.cli import main as dvc

        return int(dvc(rest) or 0)
    return _print_state()


def _print_state() -> int:
    from dvc.exceptions import DvcException

    try:
        print(json.dumps(state(Path.cwd())))
    except (DvcException, ValueError, OSError) as error:
        print(f"error: {' '.join(_explain(error).split())}", file=sys.stderr)
        return 2
    return 0


def _explain(error: Exception) -> str:
    """An error and its cause; for an internal file of DVC, with advice."""
    causes = [cause for cause in (error, error.__cause__) if cause is not None]
    for cause in causes:
        if isinstance(cause, OSError) and isinstance(cause.filename, str):
            path = Path(os.path.relpath(cause.filename))
            if path.parts[:1] == (OWN,):
                return str(unusable(path, cause))
    return ": ".join(map(str, causes))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

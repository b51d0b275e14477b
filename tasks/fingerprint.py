"""Digest the code of every step, so that a changed function reruns the stages that use it.

Also digests inputs outside data/: the pseudonym key, a BERT, a teacher to start from.
"""

import importlib
import re
from pathlib import Path

from decant.files import replace_file
from tasks.runner.code_digest import Code

FOLDER = Path("data/fingerprints")
KEY, BERT, INIT = "key", "bert", "init"
SCRATCH = Path("data/models/None")  # `data/models/${item.init}` of dvc.yaml for init: null
_CALLED = re.compile(r"\bpython3? -m tasks\.(\w+)")


def main(root: Path = Path()) -> dict[str, str]:
    """Write fingerprints of the steps' code, the pseudonym key and external models, by name.

    Files with unchanged content are not touched; files of removed steps are deleted.
    """
    code = Code(root)
    prints = {name: code.digest(f"tasks.{name}") for name in steps(root)}
    prints[KEY] = key_fingerprint(root)
    prints |= outside_fingerprints(root)
    write_scratch(root)
    folder = root / FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, digest in prints.items():
        write_changed(folder / f"{name}.txt", digest + "\n")
    for path in folder.iterdir():
        if path.suffix != ".txt" or path.stem not in prints:
            path.unlink()
    return prints


def write_scratch(root: Path) -> None:
    """Write the file that students with `init: null` depend on instead of a model."""
    path = root / SCRATCH
    params = importlib.import_module("decant.params.load").load_params(root / "params.yaml")
    if any(student.init is None for student in params.students.values()):
        path.parent.mkdir(parents=True, exist_ok=True)
        write_changed(path, "from scratch\n")
    else:
        path.unlink(missing_ok=True)


def steps(root: Path) -> list[str]:
    """Names of the programs that dvc.yaml calls, except this one."""
    text = (root / "dvc.yaml").read_text(encoding="utf-8")
    own = Path(__file__).stem
    return sorted(set(_CALLED.findall(text)) - {own})


def key_fingerprint(root: Path) -> str:
    """Fingerprint of the pseudonym key, which determines the pseudonyms."""
    privacy = importlib.import_module("decant.data.privacy")
    return str(privacy.key_fingerprint(root))


def outside_fingerprints(root: Path) -> dict[str, str]:
    """Digests of the models outside data/ that the settings name, by name."""
    params = importlib.import_module("decant.params.load").load_params(root / "params.yaml")
    outside = importlib.import_module("decant.models.external")
    return {BERT: outside.bert_digest(params), INIT: outside.teacher_digest(root, params)}


def write_changed(path: Path, text: str) -> None:
    """Write a file atomically, unless its content is the same already."""
    if path.is_file() and path.read_text(encoding="utf-8") == text:
        return
    replace_file(path, text)


if __name__ == "__main__":
    main()

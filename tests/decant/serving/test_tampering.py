"""Whatever is changed in a release is noticed: when it is loaded, promoted, fetched, published."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from decant.files import ContentError, digest, readable
from decant.release.candidate import CandidateError
from decant.release.names import file_problems
from decant.release.records import DamagedReleaseError, RegistryError
from decant.release.seal import sealed
from decant.release.store import StoreError

EXTRA = {"provenance.json": b"{}\n"}
STUDENT = ("config.json", "items.json", "manifest.json", "metrics.json", "model.onnx")
FILES = [
    *("candidate.json", "encoder.json", "metrics.json", "router.json", "verdict.json"),
    *(f"students/{student}/{name}" for student in ("general", "women") for name in STUDENT),
]
PUBLISHED = [*FILES, *EXTRA, "manifest.json"]
ADDED = ("notes.txt", ".hidden", "MODEL.ONNX", "model.onnx.bak", "model.onnx.0123456789abcdeg")
Tamper = Callable[[Path], None]


@pytest.fixture(scope="module")
def pristine(open_shop: Callable[[Path], Any], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A project with a release that is promoted, and another one that is not."""
    shop = open_shop(tmp_path_factory.mktemp("pristine") / "shop")
    shop.promote(1)
    release = shop.publish(2)
    shop.registry.fetch(release, shop.root / "cache" / release)
    (shop.root / "second").write_text(release)
    return Path(shop.root)


@pytest.fixture
def shop(pristine: Path, open_shop: Callable[[Path], Any], tmp_path: Path) -> Any:
    """A copy of it, to tamper with."""
    shutil.copytree(pristine, tmp_path / "shop")
    return open_shop(tmp_path / "shop")


@pytest.fixture
def release(shop: Any) -> str:
    """The release that is not promoted; a copy of it is in the cache."""
    return str((shop.root / "second").read_text())


def folder(shop: Any, release: str) -> Path:
    return Path(shop.root / "registry" / "releases" / release)


def flipped(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-1])


def halved(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def lengthened(path: Path) -> None:
    path.write_bytes(path.read_bytes() + b" ")


def removed(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def a_link(path: Path) -> None:
    """The same bytes, elsewhere."""
    away = path.parents[len(path.parents) - 3] / f"away-{path.name}-{path.stat().st_ino}"
    shutil.move(path, away)
    path.symlink_to(away)


def a_link_to_nothing(path: Path) -> None:
    path.unlink()
    path.symlink_to(path.parent / "nothing")


def a_pipe(path: Path) -> None:
    path.unlink()
    os.mkfifo(path)


def of_another(path: Path) -> None:
    """The file of another student, or of the folder, in its place."""
    others = [p for p in sorted(path.parent.parent.rglob("*.json")) if p.name != path.name]
    same = [p for p in path.parent.parent.rglob(path.name) if p != path]
    content = next(p.read_bytes() for p in [*same, *others] if p.read_bytes() != path.read_bytes())
    path.write_bytes(content)


CHANGES: list[Tamper] = [flipped, cut, halved, emptied, lengthened, removed, a_folder, of_another]
IN_PLACE: list[Tamper] = [a_link, a_link_to_nothing, a_pipe]  # found by those who look at the place


def refused(shop: Any, release: str, case: str) -> None:
    """Neither loaded nor promoted, with one line."""
    for use in (shop.source.load, shop.registry.promote):
        try:
            use(release)
        except (RegistryError, ContentError, StoreError) as error:
            assert "\n" not in str(error), case
        else:
            raise AssertionError(f"{case}: {use.__name__} took it")


def test_what_is_whole_is_loaded_and_promoted(shop: Any, release: str) -> None:
    assert shop.source.load(release).release == release
    assert shop.registry.promote(release).release == release


@pytest.mark.parametrize("tamper", [*CHANGES, *IN_PLACE])
def test_no_changed_file_is_loaded_or_promoted(shop: Any, release: str, tamper: Tamper) -> None:
    whole = shop.root / "whole"
    shutil.copytree(folder(shop, release), whole)
    names = [name for name in PUBLISHED if (name, tamper) != ("manifest.json", a_pipe)]
    for name in names:
        tamper(folder(shop, release) / name)
        refused(shop, release, f"{tamper.__name__} {name}")
        shutil.rmtree(folder(shop, release))
        shutil.copytree(whole, folder(shop, release))
    test_what_is_whole_is_loaded_and_promoted(shop, release)


@pytest.mark.parametrize("place", ["", "students", "students/women", "students/men"])
@pytest.mark.parametrize("as_link", [False, True])
def test_nothing_added_is_overlooked(shop: Any, release: str, place: str, as_link: bool) -> None:
    for name in ADDED:
        added = folder(shop, release) / place / name
        added.parent.mkdir(exist_ok=True)
        added.symlink_to("/etc") if as_link else added.write_bytes(b"more")
        for use in (shop.source.load, shop.registry.promote):
            with pytest.raises(DamagedReleaseError, match="not listed in its manifest; remove it"):
                use(release)
        added.unlink()


def test_no_student_that_is_not_named_is_served(shop: Any, release: str) -> None:
    students = folder(shop, release) / "students"
    shutil.copytree(students / "women", students / "readers")
    refused(shop, release, "a student's folder")
    shutil.rmtree(students / "readers")
    (students / "Women").symlink_to(students / "women")
    refused(shop, release, "a student's folder as a link")


@pytest.mark.parametrize("name", ["students", "students/women"])
def test_no_folder_is_a_link_or_a_file(shop: Any, release: str, name: str) -> None:
    place = folder(shop, release) / name
    shutil.move(place, shop.root / "away")
    place.symlink_to(shop.root / "away")
    refused(shop, release, "a link")
    place.unlink()
    place.write_bytes(b"")
    refused(shop, release, "a file")


def test_no_release_is_a_link(shop: Any, release: str) -> None:
    shutil.move(folder(shop, release), shop.root / "away")
    folder(shop, release).symlink_to(shop.root / "away")
    refused(shop, release, "the release's folder")


def test_what_a_killed_publication_left_makes_nothing_unservable(shop: Any, release: str) -> None:
    place = folder(shop, release)
    (place / "comparison.json").write_bytes(b"{}")
    for name in ("params.yaml.0123456789abcdef", "students/women/model.onnx.fedcba9876543210"):
        (place / name).write_bytes(b"left over")
    test_what_is_whole_is_loaded_and_promoted(shop, release)


# the manifest


def other(value: Any) -> Any:
    """Something else of the same kind."""
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1
    if isinstance(value, str):
        return value[:-1] + ("0" if value[-1:] != "0" else "1")
    if isinstance(value, list):
        return [*value, "women"]
    return {key: other(entry) for key, entry in value.items()} if value else {"more": 1}


def mutants(document: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    """The document with each of its fields, also those further in, changed, removed, added."""
    result = []
    for name, value in document.items():
        result.append((f"changed {name}", {**document, name: other(value)}))
        result.append((f"removed {name}", {k: v for k, v in document.items() if k != name}))
        if value is not None:
            result.append((f"emptied {name}", {**document, name: None}))
        if isinstance(value, dict):
            result += [(f"{name}: {how}", {**document, name: v}) for how, v in mutants(value)]
    return [*result, ("added", {**document, "more": True})]


def write(path: Path, document: dict[str, Any]) -> None:
    path.write_bytes(readable(document))


def test_every_field_of_a_manifest_is_guarded(shop: Any, release: str) -> None:
    path = folder(shop, release) / "manifest.json"
    document = json.loads(path.read_bytes())
    cases = mutants(document)
    assert len(cases) > 100
    for case, mutant in cases:
        write(path, mutant)
        refused(shop, release, case)
    write(path, document)
    test_what_is_whole_is_loaded_and_promoted(shop, release)


def test_a_manifest_with_a_checksum_of_its_own_lie_contradicts_the_release(
    shop: Any, release: str
) -> None:
    path = folder(shop, release) / "manifest.json"
    document = {k: v for k, v in json.loads(path.read_bytes()).items() if k != "checksum"}
    nobody_else_knows = ("published_at", "published_by", "reasons", "added", "removed format")
    nobody_else_knows += ("provenance.json",)
    for case, mutant in mutants(document):
        if any(name in case for name in nobody_else_knows) or case.endswith("removed stored"):
            continue
        write(path, {**sealed(mutant), "format": mutant.get("format", 2)})
        refused(shop, release, f"sealed, {case}")


def test_a_manifest_written_otherwise_is_not_the_same(shop: Any, release: str) -> None:
    path = folder(shop, release) / "manifest.json"
    content = path.read_bytes()
    twice = content.replace(b"{\n", b'{\n  "passed": false,\n', 1)
    for forged in (
        twice,
        content.replace(b"\n", b"\r\n"),
        json.dumps(json.loads(content)).encode(),
    ):
        path.write_bytes(forged)
        refused(shop, release, "written otherwise")


def test_a_manifest_of_before_checksums_is_taken(shop: Any, release: str) -> None:
    path = folder(shop, release) / "manifest.json"
    document = json.loads(path.read_bytes())
    for name in ("format", "checksum"):
        del document[name]
    path.write_bytes(json.dumps(document).encode())
    test_what_is_whole_is_loaded_and_promoted(shop, release)
    for name in ("id", "source", "students", "folded", "passed", "files"):
        write(path, {**document, name: other(document[name])})
        refused(shop, release, name)


@pytest.mark.parametrize(
    "path",
    [
        *("./encoder.json", "students/../encoder.json", "/etc/passwd", "students\\women\\x", ""),
        *("ENCODER.JSON", "students/Women/model.onnx", "students//x", "students/women", "a/b/c"),
        *("students/women/../x", ".hidden", "students/.x/y", "a b", "a\n", "a\u200b", "c:x", "x."),
        *("students", "manifest.json", "Manifest.json", "a" * 300, "students/\u2024\u2024/x/"),
    ],
)
def test_no_hidden_name_stands_in_a_manifest(shop: Any, release: str, path: str) -> None:
    manifest = folder(shop, release) / "manifest.json"
    document = {k: v for k, v in json.loads(manifest.read_bytes()).items() if k != "checksum"}
    document["files"][path] = document["files"]["encoder.json"]
    assert file_problems(document["files"])
    write(manifest, sealed(document))
    refused(shop, release, path)


@pytest.mark.parametrize("stored", ["../x", "router.json", "encoder.json", "encoder.json.0", "/x"])
def test_a_file_is_stored_under_its_own_name_or_beside_it(
    shop: Any, release: str, stored: str
) -> None:
    manifest = folder(shop, release) / "manifest.json"
    document = {k: v for k, v in json.loads(manifest.read_bytes()).items() if k != "checksum"}
    document["files"]["encoder.json"]["stored"] = stored
    write(manifest, sealed(document))
    refused(shop, release, stored)


# documents that contradict each other, though every hash is right


def rewritten(shop: Any, release: str, changes: dict[str, Any]) -> None:
    """Change fields in documents of a release, and every hash and checksum that follows."""
    place = folder(shop, release)
    manifest = json.loads((place / "manifest.json").read_bytes())
    candidate = json.loads((place / "candidate.json").read_bytes())
    for key, value in changes.items():
        name, field = key.split(":")
        document = (
            candidate if name == "candidate.json" else json.loads((place / name).read_bytes())
        )
        document[field] = value
        if name != "candidate.json":
            write(place / name, document)
            candidate["files"][name] = digest((place / name).read_bytes())
    unsealed = {k: v for k, v in candidate.items() if k not in ("format", "checksum")}
    write(place / "candidate.json", sealed(unsealed))
    for name in (*candidate["files"], "candidate.json"):
        content = (place / name).read_bytes()
        manifest["files"][name] |= {"sha256": digest(content), "bytes": len(content)}
    write(place / "manifest.json", sealed({k: v for k, v in manifest.items() if k != "checksum"}))


RULE = {"where": "gender == 'F'", "priority": 10}


@pytest.mark.parametrize(
    ("changes", "problem"),
    [
        ({"verdict.json:passed": False}, "manifest.json contradicts verdict.json"),
        (
            {"verdict.json:segments": {"women": {"ships": False}}},
            "does not accept the student women",
        ),
        ({"verdict.json:segments": {}}, "documents cannot be read: 'women'"),
        ({"candidate.json:source": "files"}, "manifest.json has the source demo, candidate.json"),
        ({"candidate.json:students": {"general": {}}}, "a student missing from candidate.json"),
        ({"candidate.json:folded": ["women"]}, "manifest.json has the folded"),
        ({"candidate.json:raw": {"views.csv": "1" * 64}}, "lists raw data with another"),
        ({"candidate.json:passed": False}, "candidate.json contradicts verdict.json"),
        (
            {"students/women/manifest.json:files": {}},
            "students/women/manifest.json does not match the files of women",
        ),
        ({"candidate.json:params": "0" * 64}, "its content has the id"),
    ],
)
def test_documents_that_contradict_each_other_are_refused(
    shop: Any, release: str, changes: dict[str, Any], problem: str
) -> None:
    rewritten(shop, release, changes)
    for use in (shop.source.load, shop.registry.promote):
        with pytest.raises(DamagedReleaseError, match=problem):
            use(release)


def test_a_router_that_names_another_student_has_another_id(shop: Any, release: str) -> None:
    for students in ({"women": RULE, "men": RULE}, {}):
        rewritten(shop, release, {"router.json:students": students})
        refused(shop, release, f"{[*students]}")


# copies and candidates


def test_no_changed_copy_is_served(shop: Any, release: str) -> None:
    copies, kept, whole = shop.source, shop.root / "cache" / release, shop.root / "whole"
    shutil.copytree(kept, whole)
    assert copies.load_kept(release).release == release
    for tamper in [*CHANGES, *IN_PLACE]:
        for name in PUBLISHED:
            tamper(kept / name)
            with pytest.raises((RegistryError, ContentError, OSError)):
                copies.load_kept(release)
            shutil.rmtree(kept)
            shutil.copytree(whole, kept)
    for name in ("more", "comparison.json", "students/women/model.onnx.0123456789abcdef"):
        (kept / name).write_bytes(b"")
        with pytest.raises(DamagedReleaseError, match="is not listed in its manifest"):
            copies.load_kept(release)
        (kept / name).unlink()
    assert copies.load_kept(release).release == release


@pytest.mark.parametrize("tamper", [flipped, removed, a_folder, a_link])
def test_a_changed_copy_is_fetched_anew(shop: Any, release: str, tamper: Tamper) -> None:
    kept = shop.root / "cache" / release
    for name in ("manifest.json", "students/women/model.onnx"):
        tamper(kept / name)
        shop.registry.fetch(release, kept)
        assert shop.source.load_kept(release).release == release
    tamper(kept / "router.json")
    shutil.move(kept, shop.root / "moved")
    kept.symlink_to(shop.root / "moved")
    shop.registry.fetch(release, kept)
    assert not kept.is_symlink() and (shop.root / "moved").is_dir()
    assert shop.source.load_kept(release).release == release


def test_no_changed_candidate_is_published(shop: Any) -> None:
    whole, place = shop.root / "whole", shop.root / "work-1" / "candidate"
    shutil.copytree(place, whole)
    for tamper in [*CHANGES, a_link_to_nothing]:
        for name in FILES:
            tamper(place / name)
            with pytest.raises((CandidateError, ContentError)):
                shop.registry.publish(place, EXTRA)
            shutil.rmtree(place)
            shutil.copytree(whole, place)
    for name in ("more", "students/women/more", "students/men/model.onnx"):
        (place / name).parent.mkdir(exist_ok=True)
        (place / name).write_bytes(b"")
        with pytest.raises(CandidateError, match=r"1 additional file\(s\)"):
            shop.registry.publish(place, EXTRA)
        (place / name).unlink()
    document = json.loads((whole / "candidate.json").read_bytes())
    for case, mutant in mutants(document):
        write(place / "candidate.json", mutant)
        with pytest.raises(CandidateError):
            shop.registry.publish(place, EXTRA)
            raise AssertionError(case)

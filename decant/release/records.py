"""The registry's records and errors."""

from collections.abc import Mapping
from typing import Annotated, Any, Literal, TypeVar

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field, ValidationError

from decant.files import readable


class RegistryError(ValueError):
    """The registry cannot perform a request."""


class UnknownReleaseError(RegistryError):
    """No complete release has this id or prefix, or several do."""

    def __init__(self, given: str, problem: str) -> None:
        self.given = given
        super().__init__(f"no release `{given}`: {problem}")


class DamagedReleaseError(RegistryError):
    """A release's files differ from the published ones; `problems` has a line for each."""

    def __init__(self, release: str, problems: list[str]) -> None:
        self.release, self.problems = release, problems
        more = f" and {len(problems) - 1} more" if len(problems) > 1 else ""
        super().__init__(
            f"release {release} is damaged: {problems[0]}{more}; `make run` in its project "
            "publishes it again, `decant promote` replaces it by another"
        )


class GateFailedError(RegistryError):
    """The gate or the comparison with production failed; `reasons` has a line for each."""

    def __init__(self, release: str, reasons: list[str]) -> None:
        self.release, self.reasons = release, reasons
        super().__init__(f"{release} did not pass: {'; '.join(reasons)}")


class ChannelMovedError(RegistryError):
    """The channel was moved concurrently."""

    def __init__(self, channel: str, now: str) -> None:
        self.channel, self.now = channel, now
        super().__init__(
            f"{channel} was moved to {now} concurrently and was left there; check it, then try "
            "again"
        )


class NothingToRollBackError(RegistryError):
    """The channel has no such earlier release to return to."""


class Record(BaseModel):
    """One JSON document; unknown keys, of later versions, are ignored."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class StoredFile(Record):
    """One file of a release; `stored` is its name in the store if different."""

    sha256: str
    bytes: int
    stored: str | None = None


class Release(Record):
    """A release's manifest."""

    id: str
    published_at: AwareDatetime
    published_by: str
    source: str
    students: list[str]
    folded: list[str]
    passed: bool
    reasons: list[str]  # why it did not pass
    files: dict[str, StoredFile]

    def listing(self) -> dict[str, dict[str, Any]]:
        """The files as plain values: `{path: {sha256, bytes, stored}}`."""
        return {path: file.model_dump() for path, file in self.files.items()}


SHARES = {"retention", "lift", "compression", "groups"}  # checks of shares, shown in per cent
LARGEST_NUMBER = 10**15  # of a channel's changes


class Change(Record):
    """One change of a channel; the newest is the channel's pointer."""

    number: Annotated[int, Field(ge=1, le=LARGEST_NUMBER)]
    channel: str
    action: Literal["promote", "rollback"]
    release: str
    previous: str | None  # target of a rollback
    trail: list[str]  # history: earlier releases, oldest first
    at: AwareDatetime
    by: str
    reason: str
    change: str  # unique, so that equal changes differ


R = TypeVar("R", bound=Record)


def dump(record: Record) -> bytes:
    """Serialise a record as readable JSON."""
    return readable(record.model_dump(mode="json", exclude_none=False))


def parse(kind: type[R], key: str, content: bytes) -> R:
    """Parse the record stored under `key`.

    Raises:
        RegistryError: the content is not such a record.
    """
    try:
        return kind.model_validate_json(content)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        problem = f"{where} {first['msg']}".strip()
        raise RegistryError(f"{key} in the registry is damaged: {problem}") from None


def reasons_against(verdict: Mapping[str, Any], comparison: Mapping[str, Any] | None) -> list[str]:
    """Reasons against promotion, production's first; empty if gate and comparison passed.

    Args:
        verdict: `{"passed": bool, "checks": [{name, value, threshold, passed, why}]}`; only
            `true` counts as passed.
        comparison: `{"passed": bool, "why": str}`, or None without a comparison.
    """
    reasons = []
    if comparison is not None and comparison.get("passed") is not True:
        reasons.append(
            str(comparison.get("why", "the comparison with production failed without a reason"))
        )
    if verdict.get("passed") is not True:
        failed = [check for check in verdict.get("checks", []) if check.get("passed") is not True]
        reasons += [explain_check(check) for check in failed] or [
            "the gate's verdict is not a pass"
        ]
    return reasons


def explain_check(check: Mapping[str, Any]) -> str:
    """A check of the gate in one line: what was measured, what is needed, and of what."""
    name, bound = str(check.get("name")), check.get("bound")
    percent = name.split(".")[0] in SHARES

    def shown(number: Any) -> str:
        if not isinstance(number, int | float):
            return "not measured"
        return f"{number:.2%}" if percent else f"{number:.4g}"

    decides = f", bound {shown(bound)}" if isinstance(bound, int | float) else ""
    needed = f"at least {shown(check.get('threshold'))} is needed"
    return f"{name}: {shown(check.get('value'))}{decides}, {needed} ({check.get('why')})"

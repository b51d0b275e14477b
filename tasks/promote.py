"""Promote a release: one swap of a channel's pointer."""

from dataclasses import dataclass
from pathlib import Path

from prefect import task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE

from decant.params.load import Params
from decant.release.registry import PRODUCTION, open_registry


@dataclass(frozen=True)
class PromoteResult:
    """Where the channel points now."""

    release: str
    channel: str
    moved: bool  # False: it pointed there already
    before: str | None  # what it pointed at
    number: int  # of the change in the channel's history


def promote(
    root: Path,
    params: Params,
    release: str,
    channel: str = PRODUCTION,
    reason: str = "",
    actor: str | None = None,
) -> PromoteResult:
    """Point a channel at a release, given by its id or a unique beginning of it.

    A pointer that is damaged or gone is written anew, on top of the channel's history.

    Raises:
        RegistryError: no such release, damaged, did not pass, or the channel moved meanwhile.
        StoreError: the registry cannot be reached or is not fit to be one.
    """
    registry = open_registry(params.registry, root)
    before = registry.pointer(channel)
    change = registry.promote(release, channel, reason, actor)
    return PromoteResult(
        release=change.release,
        channel=channel,
        moved=before.change is None or before.change.change != change.change,
        before=before.release,
        number=change.number,
    )


def rolled_back(root: Path, params: Params, release: str, channel: str) -> str | None:
    """That a release was taken off a channel by a rollback, which no schedule may undo; or None.

    An unreadable change since the release was published may have been that rollback.
    """
    registry = open_registry(params.registry, root)
    change = registry.rolled_back(release, channel)
    if change:
        reason = f", {change.reason}" if change.reason else ""
        return (
            f"not promoted: {change.by} rolled {channel} back from it on "
            f"{change.at:%Y-%m-%d}{reason}; `decant promote {release}` puts it back"
        )
    unread = registry.unread_since(registry.release(release).published_at, channel)
    if unread:
        return (
            f"not promoted: {len(unread)} change(s) of {channel} since it was published cannot be "
            f"read and may include a rollback ({unread[0]}); `decant promote {release}` promotes it"
        )
    return None


def describe(result: PromoteResult) -> str:
    """Where the channel points now, in Markdown."""
    if not result.moved:
        return f"**{result.channel}** points at `{result.release}` already"
    before = f"`{result.before}`" if result.before else "nothing"
    return f"**{result.channel}**: {before} -> `{result.release}` (change {result.number})"


@task(name="promote", task_run_name="promote", persist_result=False, cache_policy=NO_CACHE)
def promote_task(
    root: Path,
    params: Params,
    release: str,
    channel: str = PRODUCTION,
    reason: str = "",
    actor: str | None = None,
) -> PromoteResult:
    """`promote` as a Prefect task, its outcome as an artifact."""
    result = promote(root, params, release, channel, reason, actor)
    create_markdown_artifact(key="promote", markdown=describe(result), description=result.release)
    return result

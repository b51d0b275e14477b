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
    """Outcome of a promotion."""

    release: str
    channel: str
    moved: bool  # False: the channel pointed at it already
    before: str | None  # release before
    number: int  # of the change in the channel's history


def promote(
    root: Path,
    params: Params,
    release: str,
    channel: str = PRODUCTION,
    reason: str = "",
    actor: str | None = None,
) -> PromoteResult:
    """Point a channel at a release, given by its id or a unique prefix of it.

    A damaged or missing pointer is rewritten from the channel's history plus this change.

    Raises:
        RegistryError: the release is unknown, damaged or failed its gate, or the channel was
            moved concurrently.
        StoreError: the registry is unreachable or unusable.
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
    """Why a rollback forbids automatic promotion of a release, or None.

    An unreadable change since the release was published counts, as it may be a rollback.
    """
    registry = open_registry(params.registry, root)
    change = registry.rolled_back(release, channel)
    if change:
        reason = f", {change.reason}" if change.reason else ""
        return (
            f"not promoted: {change.by} rolled {channel} back from it on "
            f"{change.at:%Y-%m-%d}{reason}; `decant promote {release}` restores it"
        )
    unread = registry.unread_since(registry.release(release).published_at, channel)
    if unread:
        return (
            f"not promoted: {len(unread)} change(s) of {channel} since it was published cannot be "
            f"read and may include a rollback ({unread[0]}); `decant promote {release}` promotes it"
        )
    return None


def describe(result: PromoteResult) -> str:
    """The promotion in Markdown."""
    if not result.moved:
        return f"**{result.channel}** already points at `{result.release}`"
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
    """`promote` as a Prefect task, with its outcome as an artifact."""
    result = promote(root, params, release, channel, reason, actor)
    create_markdown_artifact(key="promote", markdown=describe(result), description=result.release)
    return result

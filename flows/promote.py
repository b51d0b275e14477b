"""Point a channel at a release.

Run: `python -m flows.promote ID [--channel production|canary]`
"""

import sys
from contextlib import nullcontext
from pathlib import Path

from prefect import flow
from pydantic import BaseModel, ConfigDict, Field

from decant.cli import Parser
from decant.params.load import load_params
from flows.console import run_cli
from flows.retrain import Channel
from flows.server import temporary_server
from flows.workspace import quieten
from tasks.promote import promote_task

ABOUT = "Point a channel at a release, as a flow that is visible in a Prefect server."


class Options(BaseModel):
    """Release and channel of a promotion."""

    model_config = ConfigDict(extra="forbid")

    release: str = Field(description="id of a published release, see `decant releases`")
    channel: Channel = Field(default=Channel.production, description="the channel to point at it")


@flow(name="promote", flow_run_name="promote-{options.release}", persist_result=False)
def promote(options: Options) -> None:
    """Swap one pointer; a running service reloads automatically.

    A damaged or missing pointer is rewritten from the channel's history plus this change.
    """
    quieten()
    root = Path.cwd()
    params = load_params(root / "params.yaml")
    promote_task(root, params, options.release, options.channel.value, "by hand")


def main(arguments: list[str] | None = None) -> int:
    """Command-line entry point."""
    parser = Parser(prog="python -m flows.promote", description=ABOUT)
    parser.add_argument("release", metavar="ID", help="a release's id, see `decant releases`")
    parser.add_argument(
        "--channel",
        choices=[c.value for c in Channel],
        default="production",
        help="the channel to point at it; default: production",
    )
    given = parser.parse_args(arguments)
    with temporary_server(meanwhile=nullcontext()):
        promote(Options(release=given.release, channel=Channel(given.channel)))
    return 0


if __name__ == "__main__":
    sys.exit(run_cli(main))

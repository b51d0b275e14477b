"""The published protocol of `decant configure`: which one, and whether files and settings fit."""

from pathlib import Path

from decant.data.sources import readers
from decant.data.sources.layout import Files
from decant.params.data import Ingest
from decant.params.load import Params
from decant.params.types import MOVIELENS_1M, PROTOCOLS
from decant.suggest import suggest

NONE = "none"  # as `--protocol none`
IDS_ALONE = "item"  # the input that a log of ids alone has


class ProtocolError(ValueError):
    """A protocol does not exist, or source, files or settings do not fit it."""


def choose_protocol(given: str | None, source: str, params: Params) -> str | None:
    """The value of `ingest.protocol`.

    Args:
        given: a protocol or `none`; None: as it is in `params`, and none for another source.

    Raises:
        ProtocolError: there is no such protocol, or not for this source.
    """
    if given is None:
        return params.ingest.protocol if source == params.source else None
    if given == NONE:
        return None
    if given not in PROTOCOLS:
        raise ProtocolError(f"no protocol `{given}`; {suggest(given, [*PROTOCOLS, NONE])}")
    if source != MOVIELENS_1M:
        raise ProtocolError(f"protocol {given} is for {MOVIELENS_1M}, not for {source}: omit it")
    return given


def check_data(source: str, folder: Path, protocol: str) -> None:
    """Read the files of `folder` and check that they are the data of the protocol.

    Raises:
        OtherDataError, MissingFilesError, UnreadableTableError: they are not.
    """
    readers.read(source, folder, Ingest.model_validate({"protocol": protocol}))


def check_settings(params: Params, files: Files | None) -> None:
    """Check that no setting reads more than item ids if the files have nothing else.

    Raises:
        ProtocolError: one does; the message names what is read.
    """
    if params.ingest.protocol is None or files is None or files.users is not None:
        return
    inputs = (*params.teacher.inputs, *params.distill.inputs)
    read = dict.fromkeys([*params.features.attributes, *(i for i in inputs if i != IDS_ALONE)])
    if read:
        raise ProtocolError(
            f"{files.events[0].name} has item ids alone, but these settings read "
            f"{', '.join(read)}: give ratings.dat or sequences.csv, with users.dat and "
            "movies.dat, or --profile ids"
        )

"""Pseudonyms instead of user ids: keyed, so that nobody without the key can try ids out.

The key comes from the environment (`DECANT_PSEUDONYM_KEY`), else from `.decant/keys/pseudonym` in
the workspace, which is made on first use. Another key gives other pseudonyms.
"""

import hashlib
import hmac
import os
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

VARIABLE = "DECANT_PSEUDONYM_KEY"
KEY_FILE = Path(".decant/keys/pseudonym")
SHORTEST = 16  # characters
LENGTH = 16  # hexadecimal digits of a pseudonym: 64 bits


class KeyUnusable(ValueError):
    """The pseudonym key is too short; `place` says where it came from."""

    def __init__(self, place: str, length: int) -> None:
        self.place, self.length = place, length
        super().__init__(
            f"the pseudonym key in {place} has {length} characters, at least {SHORTEST} are needed"
        )


def pseudonym(user: str, key: bytes) -> str:
    """The pseudonym of one raw user id: 16 hexadecimal digits."""
    return hmac.new(key, user.encode(), hashlib.sha256).hexdigest()[:LENGTH]


def pseudonymise(users: "pd.Series", key: bytes) -> "pd.Series":
    """The pseudonym of each raw id, as str; a missing id stays missing."""
    names = {user: pseudonym(str(user), key) for user in users.dropna().unique()}
    assert len(set(names.values())) == len(names), "two users with one pseudonym"
    return users.map(names).astype("str")


def load_key(root: Path) -> bytes:
    """The workspace's key, made (mode 0600) if there is none.

    Raises:
        KeyUnusable: it has fewer than 16 characters.
    """
    given = os.environ.get(VARIABLE)
    if given is not None:
        return _usable(given, f"the environment variable {VARIABLE}")
    path = root / KEY_FILE
    if not path.exists():
        _make(path)
    return _usable(path.read_text(encoding="utf-8"), str(KEY_FILE))


def key_fingerprint(root: Path) -> str:
    """What tells keys apart and does not give them away: 16 hexadecimal digits."""
    return hmac.new(load_key(root), b"decant pseudonym key", hashlib.sha256).hexdigest()[:16]


def _usable(text: str, place: str) -> bytes:
    key = text.strip()
    if len(key) < SHORTEST:
        raise KeyUnusable(place, len(key))
    return key.encode()


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_hex(32) + "\n")
        os.link(temporary, path)  # unlike a rename, it never replaces another process's key
    except FileExistsError:
        return
    finally:
        temporary.unlink()

"""Keyed pseudonyms in place of user ids: without the key, ids cannot be guessed and checked.

The key comes from the environment (`DECANT_PSEUDONYM_KEY`), else from `.decant/keys/pseudonym` in
the workspace, which is created on first use. Another key gives other pseudonyms, so a damaged key
file is never replaced.
"""

import hashlib
import hmac
import os
import re
import secrets
from pathlib import Path
from typing import TYPE_CHECKING

from decant.files import unusable

if TYPE_CHECKING:
    import pandas as pd

VARIABLE = "DECANT_PSEUDONYM_KEY"
KEY_FILE = Path(".decant/keys/pseudonym")
SHORTEST = 16  # characters
LENGTH = 16  # hexadecimal digits of a pseudonym: 64 bits
MADE = 32  # bytes of a generated key, stored as twice as many hexadecimal digits
RESTORE = "restore it, or move it away to start over with new pseudonyms (all data is then rebuilt)"


class UnusableKeyError(ValueError):
    """The pseudonym key is damaged or too short; `place`: its origin."""

    def __init__(self, place: str, why: str, advice: str) -> None:
        self.place, self.why = place, why
        super().__init__(f"the pseudonym key in {place} {why}: {advice}")


def pseudonym(user: str, key: bytes) -> str:
    """The pseudonym of one raw user id: 16 hexadecimal digits."""
    return hmac.new(key, user.encode(), hashlib.sha256).hexdigest()[:LENGTH]


def pseudonymise(users: "pd.Series", key: bytes) -> "pd.Series":
    """The pseudonym of each raw id, as str; a missing id stays missing."""
    names = {user: pseudonym(str(user), key) for user in users.dropna().unique()}
    assert len(set(names.values())) == len(names), "two users with one pseudonym"
    return users.map(names).astype("str")


def load_key(root: Path) -> bytes:
    """The workspace's key, created (mode 0600) if missing.

    Raises:
        UnusableKeyError: the key is damaged, or has fewer than 16 characters.
        UnusableError: no key can be created.
    """
    given = os.environ.get(VARIABLE)
    if given is not None:
        place = f"the environment variable {VARIABLE}"
        return _checked(given, place, "set another one")
    path = root / KEY_FILE
    if not os.path.lexists(path):
        try:
            _make(path)
        except OSError as error:
            raise unusable(path, error) from None
    return _read(path)


def key_fingerprint(root: Path) -> str:
    """A fingerprint that identifies the key without revealing it: 16 hexadecimal digits."""
    return hmac.new(load_key(root), b"decant pseudonym key", hashlib.sha256).hexdigest()[:16]


def _read(path: Path) -> bytes:
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        why = f"cannot be read ({(error.strerror or '').lower()})"
        raise UnusableKeyError(str(KEY_FILE), why, RESTORE) from None
    except UnicodeDecodeError:
        raise UnusableKeyError(str(KEY_FILE), "is not text", RESTORE) from None
    cut = 2 * MADE - 1
    if re.fullmatch(rf"[0-9a-f]{{1,{cut}}}", text):  # no newline at the end
        raise UnusableKeyError(str(KEY_FILE), f"is cut short ({len(text)} characters)", RESTORE)
    return _checked(text, str(KEY_FILE), RESTORE)


def _checked(text: str, place: str, advice: str) -> bytes:
    key = text.strip()
    if len(key) < SHORTEST:
        why = f"has {len(key)} characters, needs at least {SHORTEST}"
        raise UnusableKeyError(place, why, advice)
    if not all(letter.isprintable() or letter.isspace() for letter in key):
        raise UnusableKeyError(place, "contains unprintable characters", advice)
    return key.encode()


def _make(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            file.write(secrets.token_hex(MADE) + "\n")
            file.flush()
            os.fsync(file.fileno())  # a power cut would leave a name without content
        os.link(temporary, path)  # unlike a rename, never replaces another process's key
    except FileExistsError:
        return
    finally:
        temporary.unlink()

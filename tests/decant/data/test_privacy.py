import os
import stat
from concurrent.futures import ThreadPoolExecutor

import pandas as pd
import pytest

from decant.data import privacy

KEY = b"0123456789abcdef"


@pytest.fixture(autouse=True)
def no_key_in_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(privacy.VARIABLE, raising=False)


def test_a_pseudonym_is_the_keyed_hash_of_the_id() -> None:
    assert privacy.pseudonym("u1", KEY) == "5162bddb18bda008"
    assert privacy.pseudonym("u1", KEY + b"x") != privacy.pseudonym("u1", KEY)


def test_missing_users_stay_missing_and_one_user_has_one_pseudonym() -> None:
    users = privacy.pseudonymise(pd.Series(["a", None, "b", "a"], dtype="str"), KEY)
    assert str(users.dtype) == "str"
    assert users.isna().tolist() == [False, True, False, False]
    assert users[0] == users[3] != users[2]
    assert users.dropna().str.fullmatch("[0-9a-f]{16}").all()


def test_a_log_without_users_can_be_pseudonymised() -> None:
    assert privacy.pseudonymise(pd.Series([None, None], dtype="str"), KEY).isna().all()
    assert len(privacy.pseudonymise(pd.Series([], dtype="str"), KEY)) == 0


def test_a_key_is_made_once_and_only_its_owner_can_read_it(tmp_path) -> None:
    key = privacy.load_key(tmp_path)
    path = tmp_path / privacy.KEY_FILE
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert privacy.load_key(tmp_path) == key
    assert os.listdir(path.parent) == [path.name]


def test_processes_that_start_together_agree_on_one_key(tmp_path) -> None:
    with ThreadPoolExecutor(8) as pool:
        keys = set(pool.map(lambda _: privacy.load_key(tmp_path), range(16)))
    assert len(keys) == 1


def test_two_workspaces_have_different_keys(tmp_path) -> None:
    assert privacy.load_key(tmp_path / "a") != privacy.load_key(tmp_path / "b")


def test_the_environment_comes_before_the_file(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(privacy.VARIABLE, KEY.decode())
    assert privacy.load_key(tmp_path) == KEY
    assert not (tmp_path / privacy.KEY_FILE).exists()


def test_a_key_that_is_too_short_is_refused_and_its_place_named(tmp_path, monkeypatch) -> None:
    monkeypatch.setenv(privacy.VARIABLE, "short")
    with pytest.raises(privacy.UnusableKeyError, match=r"DECANT_PSEUDONYM_KEY has 5 characters"):
        privacy.load_key(tmp_path)
    monkeypatch.delenv(privacy.VARIABLE)
    (tmp_path / privacy.KEY_FILE).parent.mkdir(parents=True)
    (tmp_path / privacy.KEY_FILE).write_text("")
    with pytest.raises(privacy.UnusableKeyError, match=r"\.decant/keys/pseudonym has 0"):
        privacy.load_key(tmp_path)


def test_the_fingerprint_tells_keys_apart_without_giving_them_away(tmp_path) -> None:
    one, other = (privacy.key_fingerprint(tmp_path / name) for name in "ab")
    assert one != other
    assert one == privacy.key_fingerprint(tmp_path / "a")
    assert one not in privacy.load_key(tmp_path / "a").decode()

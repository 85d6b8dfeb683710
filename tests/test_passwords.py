from __future__ import annotations

from base64 import b64encode

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.passwords import Login, Passwords, parse_hash, parse_login
from tests.serving import HASH, PASSWORD

RIGHT = Login(user="prometheus", password=PASSWORD)


def basic(credentials: bytes) -> str:
    return f"Basic {b64encode(credentials).decode()}"


@pytest.mark.parametrize(
    ("header", "login"),
    [
        (basic(b"prometheus:correct horse"), RIGHT),
        (f"bAsIc  {b64encode(b'u:').decode()}", Login(user="u", password=b"")),
        (basic(b"u:a:b\xff\0"), Login(user="u", password=b"a:b\xff\0")),
        (basic(b"\xff:a"), None),
        (basic(b"no colon"), None),
        ("Basic !!!", None),
        ("Basic", None),
        ("Bearer abc", None),
        ("Basic dTpw\u00fc", None),
        ("", None),
    ],
)
def test_a_login_is_read_or_there_is_none(header: str, login: Login | None) -> None:
    assert parse_login(header) == login


@given(st.text(max_size=100))
def test_no_header_is_too_strange(header: str) -> None:
    parse_login(header)
    parse_login(f"Basic {header}")


@pytest.mark.parametrize(
    ("login", "right"),
    [
        (RIGHT, True),
        (Login(user="prometheus", password=b"wrong"), False),
        (Login(user="prometheus", password=b""), False),
        (Login(user="prometheus", password=b"\0"), False),
        (Login(user="nobody", password=PASSWORD), False),
        (Login(user="nobody", password=b"no such user"), False),
        (Login(user="prometheus", password=PASSWORD * 100), False),
    ],
)
def test_only_the_right_login_is_right_and_known_afterwards(login: Login, right: bool) -> None:
    known = Passwords({"prometheus": HASH})
    assert not known.known(login)
    assert known.check(login) is right
    assert known.known(login) is right


def test_a_known_login_does_not_open_another() -> None:
    known = Passwords({"prometheus": HASH, "other": HASH})
    known.check(RIGHT)
    assert not known.known(Login(user="other", password=PASSWORD))
    assert not known.known(Login(user="prometheus", password=b"wrong"))


def test_a_password_of_which_bcrypt_reads_a_part_is_wrong() -> None:
    hashed = bcrypt.hashpw(b"a" * 72, bcrypt.gensalt(4)).decode()
    known = Passwords({"u": hashed})
    assert known.check(Login(user="u", password=b"a" * 72))
    assert not known.check(Login(user="u", password=b"a" * 73))


def test_a_password_that_is_too_long_is_not_the_empty_one() -> None:
    known = Passwords({"u": bcrypt.hashpw(b"", bcrypt.gensalt(4)).decode()})
    assert known.check(Login(user="u", password=b""))
    assert not known.check(Login(user="u", password=b"a" * 73))


def test_somebody_unknown_takes_as_long_as_somebody_known(monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[bytes] = []
    monkeypatch.setattr(bcrypt, "checkpw", lambda _, hashed: checked.append(hashed))
    known = Passwords({"prometheus": HASH})
    known.check(Login(user="prometheus", password=b"x"))
    known.check(Login(user="nobody", password=b"x"))
    assert len(checked) == 2


@pytest.mark.parametrize("text", ["", "secret", "$2b$10$short", "$1$abc$def", HASH + "x", HASH + "\n"])
def test_what_is_no_hash_is_refused(text: str) -> None:
    assert parse_hash(HASH) == HASH
    with pytest.raises(ValueError, match="bcrypt"):
        parse_hash(text)

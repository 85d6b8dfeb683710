"""Passwords of the web configuration: bcrypt hashes, which take so long that a right one is remembered.

Checking takes a tenth of a second of CPU by design, so the server does it on a thread and only so often at
a time. A password that was right once is known again by a salted digest, which costs nothing; a wrong one
is never remembered, so no stranger can fill anything.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import re
from base64 import b64decode
from collections.abc import Mapping

import bcrypt

from oomguard.frozen import frozen

_HASH = re.compile(r"\$2[abxy]\$[0-3][0-9]\$[./A-Za-z0-9]{53}")
_NOBODY = "$2b$10$HBmKSnieRiuToB9wJUYusOuS5p5NICu1zvP68MH9M3n8wAqZNOTQa"
"""Checked for a user that there is not, so that the answer to one takes as long as to any other."""

_LONGEST = 72
"""bcrypt reads no more bytes of a password than these."""


@frozen
class Login:
    """Who somebody says to be."""

    user: str
    password: bytes


def parse_hash(text: str) -> str:
    """A bcrypt hash, as `htpasswd -nBC 10 USER` prints it after the colon. `ValueError` for anything else."""
    if _HASH.fullmatch(text) is None:
        raise ValueError("is not a bcrypt hash such as `htpasswd -nBC 10 USER` prints after the colon")
    return text


def parse_login(header: str | None) -> Login | None:
    """The login in an Authorization header (RFC 7617); None where there is none in it."""
    scheme, _, credentials = (header or "").partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = b64decode(credentials.strip(), validate=True).partition(b":")
        return Login(user=user.decode(), password=password) if colon else None
    except ValueError:
        return None


class Passwords:
    """Whose logins are right."""

    def __init__(self, hashes: Mapping[str, str]) -> None:
        """`hashes` has the bcrypt hash of each user's password."""
        self._hashes = dict(hashes)
        self._salt = os.urandom(16)
        self._right: dict[str, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._hashes)

    def known(self, login: Login) -> bool:
        """Whether this very login was right before."""
        return hmac.compare_digest(self._right.get(login.user, b""), self._digest(login))

    def check(self, login: Login) -> bool:
        """Whether `login` is right; takes its time, and may run on a thread."""
        found = self._hashes.get(login.user)
        # A longer one can be nobody's: bcrypt takes it for its first 72 bytes.
        password = login.password if len(login.password) <= _LONGEST else b""
        right = bcrypt.checkpw(password, (found or _NOBODY).encode())
        if found is None or not right or len(login.password) > _LONGEST:
            return False
        self._right[login.user] = self._digest(login)
        return True

    def _digest(self, login: Login) -> bytes:
        return hashlib.blake2b(login.password, key=self._salt, person=b"oomguard").digest()

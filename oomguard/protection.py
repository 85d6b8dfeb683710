"""TLS, users and headers as they are in force: followed as their files change, without a restart.

Certificates are renewed every few weeks, so the files are looked at every few seconds. What cannot be
loaded leaves the old in force, and is said once.
"""

from __future__ import annotations

import os
import ssl
import sys

from oomguard.errors import ConfigError, OomguardError
from oomguard.passwords import Passwords
from oomguard.webconfig import OPEN, ClientAuth, Tls, TlsVersion, WebConfig, load

_VERSIONS = {TlsVersion.TLS12: ssl.TLSVersion.TLSv1_2, TlsVersion.TLS13: ssl.TLSVersion.TLSv1_3}
_VERIFY = {
    ClientAuth.NONE: ssl.CERT_NONE,
    ClientAuth.IF_GIVEN: ssl.CERT_OPTIONAL,
    ClientAuth.REQUIRED: ssl.CERT_REQUIRED,
}

_Print = tuple[tuple[int, int, int] | None, ...]
"""Of each file its inode, size and time of change; None where there is none."""


class Protection:
    """What the web configuration file says, ready for use."""

    def __init__(self, file: str | None) -> None:
        """Load `file`; None: everybody may read, in plain text. Raises `OomguardError`."""
        self._file = file
        self.config: WebConfig = OPEN
        self.tls: ssl.SSLContext | None = None
        self.passwords = Passwords({})
        self._files: tuple[str, ...] = ()
        self._seen: _Print = ()
        if file is not None:
            self._load(file)

    def refresh(self) -> None:
        """Load what has changed; where that cannot be, say so and keep what is in force."""
        if self._file is None or _print(self._files) == self._seen:
            return
        try:
            self._load(self._file)
        except OomguardError as error:
            self._seen = _print(self._files)
            sys.stderr.write(f"oomguard exporter: {error}; what was loaded before stays in force\n")

    def _load(self, file: str) -> None:
        config = load(file)
        files = (file, *_named(config.tls))
        seen = _print(files)
        tls = None if config.tls is None else context(config.tls)
        if config.users != self.config.users:
            self.passwords = Passwords(config.users)
        self.config, self.tls, self._files, self._seen = config, tls, files, seen


def context(tls: Tls) -> ssl.SSLContext:
    """A server's context for `tls`. Raises `ConfigError`, which names the file that is at fault."""
    made = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    made.minimum_version = _VERSIONS[tls.min_version]
    made.maximum_version = _VERSIONS[tls.max_version]
    made.verify_mode = _VERIFY[tls.client_auth]
    made.options |= ssl.OP_NO_RENEGOTIATION
    for file in _named(tls):
        if not os.access(file, os.R_OK):
            raise ConfigError(file, "", f"cannot be read by user {os.geteuid()}, or is not there")
    try:
        made.load_cert_chain(tls.cert_file, tls.key_file, password=_no_password)
    except (ssl.SSLError, ValueError) as error:
        problem = f"is no certificate that the key in {tls.key_file} belongs to"
        raise ConfigError(tls.cert_file, "", f"{problem} ({error})") from error
    if tls.client_ca_file is not None:
        try:
            made.load_verify_locations(tls.client_ca_file)
        except ssl.SSLError as error:
            raise ConfigError(tls.client_ca_file, "", f"holds no certificate ({error})") from error
    return made


def _named(tls: Tls | None) -> tuple[str, ...]:
    return () if tls is None else tuple(filter(None, (tls.cert_file, tls.key_file, tls.client_ca_file)))


def _no_password() -> str:
    # Without this, OpenSSL would ask the terminal.
    raise ValueError("the key is encrypted")


def _print(files: tuple[str, ...]) -> _Print:
    return tuple(map(_stat, files))


def _stat(file: str) -> tuple[int, int, int] | None:
    try:
        found = os.stat(file)
    except OSError:
        return None
    return found.st_ino, found.st_size, found.st_mtime_ns

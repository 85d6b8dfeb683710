"""The web configuration file of Prometheus's own tools: TLS, client certificates, users, headers.

https://prometheus.io/docs/prometheus/latest/configuration/https/. What of it is not supported is refused and
never passed over, as each key is somebody's protection.
"""

from __future__ import annotations

import os.path
from collections.abc import Mapping
from enum import StrEnum

import yaml

from oomguard.errors import ConfigError, ConfigErrors
from oomguard.frozen import frozen
from oomguard.names import quoted
from oomguard.passwords import parse_hash
from oomguard.table import Table, nearest, spelt, word

_LARGEST = 1 << 16
_TLS = "tls_server_config"
_USERS = "basic_auth_users"
_SERVER = "http_server_config"
_HEADERS = (
    "Strict-Transport-Security",
    "X-Content-Type-Options",
    "X-Frame-Options",
    "X-XSS-Protection",
    "Content-Security-Policy",
)


class ClientAuth(StrEnum):
    """Whether a client has to show a certificate."""

    NONE = "NoClientCert"
    IF_GIVEN = "VerifyClientCertIfGiven"
    REQUIRED = "RequireAndVerifyClientCert"


class TlsVersion(StrEnum):
    """The versions of TLS that are fit for use."""

    TLS12 = "TLS12"
    TLS13 = "TLS13"


@frozen
class Tls:
    """tls_server_config."""

    cert_file: str
    key_file: str
    client_ca_file: str | None
    client_auth: ClientAuth
    min_version: TlsVersion
    max_version: TlsVersion


@frozen
class WebConfig:
    """What protects the exporter's pages."""

    tls: Tls | None
    """None: plain HTTP."""
    users: Mapping[str, str]
    """The bcrypt hash of each user's password; none: everybody may read."""
    headers: Mapping[str, str]
    """What each answer says besides."""


OPEN = WebConfig(tls=None, users={}, headers={})
"""Without a web configuration file."""


def load(file: str) -> WebConfig:
    """The web configuration in `file`. Raises `ConfigErrors` with all that is wrong with it."""
    content = _content(file)
    users, server = _section(file, content, _USERS), _section(file, content, _SERVER)
    table = Table("", file)
    tls = content.get(_TLS)
    if tls is not None:
        table.merge({_TLS: tls}, file)
    sections = [_TLS, _USERS, _SERVER]
    for key in (key for key in content if key not in sections):
        table.refuse(f"is not a known key; {nearest(key, sections)}", spelt(key))
    config = WebConfig(
        tls=None if tls is None else _tls(table, os.path.dirname(os.path.abspath(file))),
        users={user: parsed for user, hashed in users.items() if (parsed := _hash(table, user, hashed))},
        headers=_headers(table, server),
    )
    table.close()
    if table.problems:
        raise ConfigErrors(tuple(table.problems))
    return config


def _content(file: str) -> dict[str, object]:
    try:
        with open(file, "rb") as stream:
            raw = stream.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(file, "", f"cannot be read: {error.strerror}") from error
    if len(raw) > _LARGEST:
        raise ConfigError(file, "", f"is larger than {_LARGEST} bytes: that is no web configuration")
    try:
        if any(isinstance(token, yaml.AliasToken) for token in yaml.scan(raw)):
            # A few lines of them are a tree without end, or of any size.
            raise ConfigError(file, "", "has an alias (*name), which is not supported: write it out")
        content = yaml.safe_load(raw)
    except yaml.MarkedYAMLError as error:
        line = "" if error.problem_mark is None else f" at line {error.problem_mark.line + 1}"
        raise ConfigError(file, "", f"is not valid YAML{line}: {error.problem}") from error
    # AttributeError and LookupError: how PyYAML takes a tag that does not fit, such as !!bool maybe.
    except (yaml.YAMLError, ValueError, RecursionError, AttributeError, LookupError) as error:
        raise ConfigError(file, "", "is not valid YAML") from error
    return _mapping(file, "", content)


def _section(file: str, content: Mapping[str, object], key: str) -> dict[str, object]:
    return _mapping(file, key, content.get(key))


def _mapping(file: str, key: str, value: object) -> dict[str, object]:
    """`value`, which must be a mapping of words; an empty one may be left out."""
    if value is None:
        return {}
    if not isinstance(value, dict) or not all(isinstance(name, str) for name in value):
        raise ConfigError(file, key, "must be a mapping of words to values")
    return value


def _tls(table: Table, folder: str) -> Tls:
    def path(text: str) -> str:
        if not text:
            raise ValueError("is empty; it must name a file")
        return os.path.join(folder, text)

    tls = Tls(
        cert_file=table.take(f"{_TLS}.cert_file", path, ""),
        key_file=table.take(f"{_TLS}.key_file", path, ""),
        client_ca_file=table.take(f"{_TLS}.client_ca_file", path, None),
        client_auth=table.take(f"{_TLS}.client_auth_type", word(ClientAuth), ClientAuth.NONE),
        min_version=table.take(f"{_TLS}.min_version", word(TlsVersion), TlsVersion.TLS12),
        max_version=table.take(f"{_TLS}.max_version", word(TlsVersion), TlsVersion.TLS13),
    )
    for key in ("cert_file", "key_file"):
        if not table.has(f"{_TLS}.{key}"):
            table.refuse("is missing", f"{_TLS}.{key}")
    if (tls.client_ca_file is None) != (tls.client_auth is ClientAuth.NONE) and not table.problems:
        table.refuse(
            f"goes with client_auth_type: {ClientAuth.REQUIRED} or {ClientAuth.IF_GIVEN}, and they with it",
            f"{_TLS}.client_ca_file",
        )
    if tls.min_version > tls.max_version:
        table.refuse("is above max_version", f"{_TLS}.min_version")
    return tls


def _hash(table: Table, user: str, hashed: object) -> str | None:
    try:
        return parse_hash(hashed if isinstance(hashed, str) else "")
    except ValueError as error:
        table.refuse(str(error), f"{_USERS}.{quoted(user)}")
        return None


def _headers(table: Table, server: Mapping[str, object]) -> dict[str, str]:
    headers = _section(table.home, server, "headers")
    for key in server:
        # Whether HTTP/2 may be spoken: it never is, and each client of HTTP/2 speaks HTTP/1.1 as well.
        if key not in {"headers", "http2"}:
            table.refuse(
                f"is not a known key; {nearest(key, ['headers', 'http2'])}", f"{_SERVER}.{spelt(key)}"
            )
    for name, value in headers.items():
        key = f"{_SERVER}.headers.{spelt(name)}"
        if name not in _HEADERS:
            table.refuse(f"may not be set; {nearest(name, list(_HEADERS))}", key)
        elif not isinstance(value, str) or not (value.isascii() and value.isprintable()):
            table.refuse("must be text of printable ASCII characters", key)
    return {name: value for name, value in headers.items() if isinstance(value, str)}

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard import webconfig
from oomguard.errors import ConfigError
from oomguard.webconfig import OPEN, ClientAuth, Tls, TlsVersion, WebConfig
from tests.serving import HASH


def load(folder: Path, text: str) -> WebConfig:
    file = folder / "web.yml"
    file.write_text(text)
    return webconfig.load(str(file))


def test_all_of_it(tmp_path: Path) -> None:
    config = load(
        tmp_path,
        f"""
        tls_server_config:
          cert_file: server.crt
          key_file: /etc/keys/server.key
          client_ca_file: ca.crt
          client_auth_type: VerifyClientCertIfGiven
          min_version: TLS12
          max_version: TLS13
        basic_auth_users:
          prometheus: {HASH}
          "o'dd \\n user": {HASH}
        http_server_config:
          http2: false
          headers:
            Strict-Transport-Security: max-age=31536000
            X-Frame-Options: deny
        """,
    )
    assert config == WebConfig(
        tls=Tls(
            cert_file=f"{tmp_path}/server.crt",
            key_file="/etc/keys/server.key",
            client_ca_file=f"{tmp_path}/ca.crt",
            client_auth=ClientAuth.IF_GIVEN,
            min_version=TlsVersion.TLS12,
            max_version=TlsVersion.TLS13,
        ),
        users={"prometheus": HASH, "o'dd \n user": HASH},
        headers={"Strict-Transport-Security": "max-age=31536000", "X-Frame-Options": "deny"},
    )


@pytest.mark.parametrize(
    "text", ["", "{}", "# nothing", "tls_server_config:\nbasic_auth_users:\nhttp_server_config: {headers: }"]
)
def test_none_of_it(tmp_path: Path, text: str) -> None:
    assert load(tmp_path, text) == OPEN


FILES = "tls_server_config: {cert_file: c, key_file: k, "


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a: [", "is not valid YAML at line 1"),
        ("\x01", "is not valid YAML"),
        ("!!python/object:os.system {}", "is not valid YAML at line 1"),
        ("[" * 3000, "is not valid YAML"),
        ("tls_server_config: &a {b: *a}", "has an alias"),
        ("basic_auth_users: {u: &a x, v: *a}", "has an alias"),
        ("- a", "must be a mapping"),
        ("1: 2", "must be a mapping"),
        ("a: 1", "a: is not a known key; known are tls_server_config, basic_auth_users"),
        ("tls_config: {}", 'tls_config: is not a known key; did you mean "tls_server_config'),
        ("tls_server_config: {}", "tls_server_config.cert_file: is missing"),
        ("tls_server_config: 1", "tls_server_config: must be a table"),
        ("tls_server_config: {cert_file: c}", "tls_server_config.key_file: is missing"),
        ("tls_server_config: {cert_file: '', key_file: k}", "cert_file: is empty"),
        ("tls_server_config: {cert_file: 1, key_file: k}", "cert_file: must be text"),
        (FILES + "client_auth_type: RequireAnyClientCert}", "client_auth_type: .*not a known word"),
        (FILES + "client_auth_type: RequireAndVerifyClientCert}", "client_ca_file: goes with"),
        (FILES + "client_ca_file: ca}", "client_ca_file: goes with client_auth_type: Require"),
        (FILES + "min_version: TLS10}", 'min_version: "TLS10" is not a known word'),
        (FILES + "min_version: TLS13, max_version: TLS12}", "min_version: is above max_version"),
        (FILES + "cipher_suites: [A]}", "cipher_suites: is not a known key"),
        (FILES + "client_allowed_sans: [a]}", "client_allowed_sans: is not a known key"),
        ("basic_auth_users: {u: secret}", 'basic_auth_users."u": is not a bcrypt hash'),
        ("basic_auth_users: {u: 1}", 'basic_auth_users."u": is not a bcrypt hash'),
        ("basic_auth_users: [u]", "basic_auth_users: must be a mapping"),
        ("http_server_config: {x: 1}", "http_server_config.x: is not a known key"),
        ("http_server_config: {headers: {Set-Cookie: a}}", "headers.Set-Cookie: may not be set"),
        ("http_server_config: {headers: {X-Frame-Options: 1}}", "X-Frame-Options: must be text"),
        ('http_server_config: {headers: {X-Frame-Options: "a\\r\\nb"}}', "X-Frame-Options: must be text"),
        ("a: " + "x" * 70_000, "is larger than 65536 bytes"),
    ],
)
def test_what_is_wrong_is_refused_in_words(tmp_path: Path, text: str, words: str) -> None:
    with pytest.raises(ConfigError, match=words) as caught:
        load(tmp_path, text)
    assert str(caught.value).startswith(f"{tmp_path}/web.yml: ")


def test_everything_wrong_is_told_at_once(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "a: 1\nbasic_auth_users: {u: x}\nhttp_server_config: {b: 1}")
    assert len(str(caught.value).splitlines()) == 3


def test_no_password_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        load(tmp_path, "basic_auth_users: {u: hunter2}")
    assert "hunter2" not in str(caught.value)


def test_a_missing_file_is_named() -> None:
    with pytest.raises(ConfigError, match="/no/such: cannot be read: No such file"):
        webconfig.load("/no/such")


@given(st.binary(max_size=60))
def test_anything_is_a_configuration_or_a_config_error(
    tmp_path_factory: pytest.TempPathFactory, raw: bytes
) -> None:
    file = tmp_path_factory.getbasetemp() / "any.yml"
    file.write_bytes(raw)
    try:
        webconfig.load(str(file))
    except ConfigError as error:
        assert str(error).isprintable() or "\n" in str(error)

from __future__ import annotations

import os
import ssl
import subprocess
from pathlib import Path

import pytest

from oomguard.errors import ConfigError
from oomguard.passwords import Login
from oomguard.protection import Protection
from tests.serving import HASH, PASSWORD, make_certificates

TLS = "tls_server_config: {cert_file: server.crt, key_file: server.key}\n"
RIGHT = Login(user="u", password=PASSWORD)


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_certificates(tmp_path_factory.mktemp("certificates"))


@pytest.fixture
def folder(originals: Path, tmp_path: Path) -> Path:
    for file in originals.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "web.yml").write_text(TLS)
    return tmp_path


def test_without_a_file_all_is_open() -> None:
    protection = Protection(None)
    protection.refresh()
    assert protection.tls is None
    assert not protection.passwords


def test_nothing_changes_while_no_file_does(folder: Path) -> None:
    protection = Protection(str(folder / "web.yml"))
    before = protection.tls
    assert before is not None
    protection.refresh()
    assert protection.tls is before


@pytest.mark.parametrize("changed", ["web.yml", "server.crt", "server.key"])
def test_what_changes_is_loaded(folder: Path, changed: str) -> None:
    protection = Protection(str(folder / "web.yml"))
    before = protection.tls
    renewed = folder / "renewed"
    renewed.write_bytes((folder / changed).read_bytes())
    os.replace(renewed, folder / changed)
    protection.refresh()
    assert protection.tls is not before


def test_what_cannot_be_loaded_is_told_once_and_changes_nothing(
    folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (folder / "web.yml").write_text(f"{TLS}basic_auth_users: {{u: {HASH}}}\n")
    protection = Protection(str(folder / "web.yml"))
    before = protection.tls
    (folder / "server.key").write_bytes((folder / "client.key").read_bytes())
    for _ in range(3):
        protection.refresh()
    (line,) = capsys.readouterr().err.splitlines()
    assert "server.crt: is no certificate that the key in" in line
    assert line.endswith("what was loaded before stays in force")
    assert protection.tls is before
    assert protection.passwords.check(RIGHT)
    (folder / "server.key").unlink()
    protection.refresh()
    assert "server.key: cannot be read" in capsys.readouterr().err
    (folder / "web.yml").write_text("{}")
    protection.refresh()
    assert protection.tls is None


def test_users_who_go_are_known_no_longer_and_others_still_are(folder: Path) -> None:
    file = folder / "web.yml"
    file.write_text(f"basic_auth_users: {{u: {HASH}}}\n")
    protection = Protection(str(file))
    assert protection.passwords.check(RIGHT)
    file.write_text(f"basic_auth_users: {{u: {HASH}}}\nhttp_server_config:\n")
    protection.refresh()
    assert protection.passwords.known(RIGHT)
    file.write_text(f"basic_auth_users: {{other: {HASH}}}\n")
    protection.refresh()
    assert not protection.passwords.known(RIGHT)
    assert not protection.passwords.check(RIGHT)


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("server.crt", None, "server.crt: cannot be read by user"),
        ("server.key", None, "server.key: cannot be read by user"),
        ("server.crt", "x", "server.crt: is no certificate"),
        ("server.key", "x", "server.crt: is no certificate that the key in .*server.key belongs to"),
        ("ca.crt", "x", "ca.crt: holds no certificate"),
        ("ca.crt", None, "ca.crt: cannot be read"),
    ],
)
def test_files_that_are_no_good_are_named(folder: Path, file: str, content: str | None, words: str) -> None:
    more = "client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert"
    (folder / "web.yml").write_text(TLS.replace("}", f", {more}}}"))
    (folder / file).unlink()
    if content is not None:
        (folder / file).write_text(content)
    with pytest.raises(ConfigError, match=words):
        Protection(str(folder / "web.yml"))


def test_a_key_with_a_password_is_refused_and_asks_nobody(folder: Path) -> None:
    key = folder / "server.key"
    encrypt = ("openssl", "pkey", "-in", key, "-aes256", "-passout", "pass:x", "-out", f"{key}.new")
    subprocess.run(encrypt, check=True)
    os.replace(f"{key}.new", key)
    with pytest.raises(ConfigError, match=r"is no certificate .*the key is encrypted"):
        Protection(str(folder / "web.yml"))


def test_only_versions_that_are_fit_for_use(folder: Path) -> None:
    (folder / "web.yml").write_text(TLS.replace("}", ", min_version: TLS13}"))
    tls = Protection(str(folder / "web.yml")).tls
    assert tls is not None
    assert (tls.minimum_version, tls.maximum_version) == (ssl.TLSVersion.TLSv1_3, ssl.TLSVersion.TLSv1_3)
    assert tls.options & ssl.OP_NO_RENEGOTIATION

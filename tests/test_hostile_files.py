"""Whatever stands in the files that people write, in the record, and in what is passed between processes."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from oomguard import codec, config, decoder, webconfig
from oomguard.errors import ConfigError, ConfigErrors
from oomguard.expression import compile_bounded
from oomguard.notes import Notes
from oomguard.orders import decode_order, decode_report, encode_order, encode_report
from oomguard.rules import Field, pattern
from tests import specimens, test_orders
from tests.mutated import damaged
from tests.test_notes import FROZEN, HELD

COSTLY = settings(max_examples=settings().max_examples // 4)
"""For what takes long to read; of as many as the profile says."""
SHIPPED = Path(__file__).parents[1] / "config"
WEB = b"""
tls_server_config:
  cert_file: a.crt
  key_file: a.key
  client_ca_file: ca.crt
  client_auth_type: RequireAndVerifyClientCert
basic_auth_users:
  me: $2b$04$abcdefghijklmnopqrstuuMYDAvUqpvZRkB4MwGAR0g3MQ3Pu6a5m
http_server_config:
  http2: true
  headers: {X-Frame-Options: deny}
"""

# The configuration


def uncommented(text: str) -> bytes:
    """The shipped file with every key and example in force."""
    lines = (line.removeprefix("#   ") for line in text.splitlines())
    settings = (line.removeprefix("#") for line in lines if not line.startswith("# "))
    return "\n".join(settings).encode() + b"\n"


EVERYTHING = uncommented((SHIPPED / "oomguard.toml").read_text())


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("hostile")


def refused_in_words(load: Callable[[str], object], file: Path) -> None:
    """It is loaded, or every line of what is wrong with it names the file and can be shown."""
    try:
        load(str(file))
    except ConfigErrors as error:
        for line in str(error).split("\n"):
            assert line.startswith(str(file))
            assert line.isprintable()
    except ConfigError as error:
        assert str(error).startswith(str(file))
        assert str(error).isprintable()


def test_what_is_damaged_was_whole(folder: Path) -> None:
    file = folder / "whole.toml"
    file.write_bytes(EVERYTHING)
    assert len(config.load(file).rules) == 4


@COSTLY
@given(damaged(EVERYTHING))
@example(b"[storm]\nkills = 0x" + b"f" * 5000)
@example(b"mode = 0x" + b"f" * 5000)
@example(b'[[rule]]\nname = "a"\ncomm = "b"\neffect = "adjust"\npoints = 0b' + b"1" * 20000)
@example(b"a" + b".a" * 2000 + b" = 1")
@example(b"a = " + b"[" * 5000)
@example(b"mode = inf")
@example(b"mode = 1979-05-27")
def test_a_configuration_or_what_is_wrong_with_it(folder: Path, content: bytes) -> None:
    file = folder / "any.toml"
    file.write_bytes(content)
    refused_in_words(config.load, file)


WORDS = ("10%", "2s", "300MiB", "re:a*", "never", "/a", "near")
VALUES = st.recursive(
    st.integers() | st.booleans() | st.floats() | st.text(max_size=20) | st.sampled_from(WORDS),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=8,
)
KNOWN = (
    "mode limits available term kill stall budget window of victim grace rule hook cgroup name effect points "
    "comm exe command on path relief reclaim storm kills"
)
TABLES = st.dictionaries(st.sampled_from(KNOWN.split()) | st.text(max_size=4), VALUES, max_size=6)
DOCUMENTS = st.dictionaries(
    st.sampled_from(KNOWN.split()) | st.text(max_size=4),
    VALUES | TABLES | st.lists(TABLES, max_size=3),
    max_size=6,
)


@COSTLY
@given(DOCUMENTS)
def test_any_document_is_a_configuration_or_wrong_in_words(document: dict[str, object]) -> None:
    try:
        config.build([("/x.toml", document)], [])
    except ConfigErrors as error:
        assert all(line.startswith("/x.toml: ") and line.isprintable() for line in str(error).split("\n"))


@COSTLY
@given(damaged(WEB))
@example(b"tls_server_config: &a\n  b: *a\n")
@example(b"basic_auth_users: !!bool maybe\n")
@example(b'basic_auth_users: !!int ""\n')
@example(b"basic_auth_users: !!timestamp never\n")
@example(b"basic_auth_users: 2001-99-99\n")
@example(b"a: " + b"[" * 500)
@example(b"\xe2\x80\xaebasic_auth_users:\n")
@example(b"http_server_config: {\xe2\x80\xaehttp2: true}\n")
@example(b"http_server_config: {headers: {\xe2\x80\xaeX-Frame-Options: deny}}\n")
def test_a_web_configuration_or_what_is_wrong_with_it(folder: Path, content: bytes) -> None:
    file = folder / "web.yml"
    file.write_bytes(content)
    refused_in_words(webconfig.load, file)


# Patterns


PIECES = r"a b . * + ? {2,} {9999} {99999999999} ( ) (?: (?= (?P<n> (?P=n) (?i) (?> *+ | [ ] ^ - \ \d \1"
SYNTAX = st.lists(st.sampled_from((*PIECES.split(), "\n", "\0", "\udcff")), max_size=30).map("".join)


@given(SYNTAX | st.text(st.characters(codec=None), max_size=40))
@example("(" * 60 + "a" + "|\\d)" * 60)
@example("(?:" * 60 + "a" + "|ab)" * 60)
@example("(" * 5000)
@example("((a{4096}){4096}){4096}")
def test_an_expression_or_why_it_is_none(text: str) -> None:
    with suppress(ValueError):
        compile_bounded(text).fullmatch("a" * 50)


@given(st.sampled_from(Field), SYNTAX | st.text(st.characters(codec=None), max_size=40))
def test_a_pattern_or_why_it_is_none(field: Field, text: str) -> None:
    with suppress(ValueError):
        pattern(field, text)


# What is passed between processes


@given(damaged(*map(encode_order, test_orders.ORDERS), *map(encode_report, test_orders.REPORTS)))
@example(b"[" * 100_000)
def test_an_order_or_a_report_or_neither(line: bytes) -> None:
    for decode in (decode_order, decode_report):
        with suppress(ValueError):
            decode(line)


@given(damaged(*(json.dumps({"action": note.action, "cgroup": note.cgroup, "inode": note.inode,
                             "before": note.before, "written": note.written}).encode() + b"\n"
                 for note in (FROZEN, HELD))))  # fmt: skip
@example(b"[" * 100_000 + b"\n")
def test_notes_are_read_or_left_out(folder: Path, content: bytes) -> None:
    (folder / "notes").write_bytes(content)
    notes = Notes(str(folder / "notes"))
    try:
        assert len(notes.read()) <= content.count(b"\n") + content.count(b"\r") + 1
    finally:
        notes.close()


@given(damaged(*(codec.encode(event, 4080) for event in specimens.EVENTS)))
@example(b"[" * 100_000)
def test_an_event_or_none(content: bytes) -> None:
    try:
        event = decoder.decode(content)
    except ValueError:
        return
    assert decoder.decode(codec.encode(event, 1 << 20)) == event


def test_nothing_is_left_open() -> None:
    """Refusing a thousand files takes no descriptor."""
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(20):
        refused_in_words(config.load, Path("/nowhere/oomguard.toml"))
    assert len(os.listdir("/proc/self/fd")) == before

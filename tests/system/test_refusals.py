"""Mistakes as users make them, and hosts that do not grant all: each in one clear line."""

from __future__ import annotations

import os
import socket
import tempfile
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.system.conftest import Start
from tests.system.patience import eventually
from tests.system.subject import Settings, Subject, oomguard
from tests.system.web import fetch, free_port

ROOT = pytest.mark.skipif(os.geteuid() != 0, reason="NOT TESTED: takes root")

RULE = '[[rule]]\nname = "web"\n{}\neffect = "never"\n'


@pytest.mark.parametrize(
    ("text", "key", "complaint"),
    [
        ("[limits.available]\ntrem = '10%'", "limits.available.trem", "did you mean"),
        ("[limits.available]\nterm = nan", "limits.available.term", "in quotes"),
        ("[limits.available]\nterm = 'nan%'", "limits.available.term", '"nan%" is not a size'),
        ("[stall]\nbudget = '10 %'", "stall.budget", '"10 %" is not a duration'),
        (RULE.format("exe = ''"), "exe", "is empty"),
        (RULE.format("exe = 're:('"), "exe", "not a valid regular expression"),
        (RULE.format("exe = '/a'") + RULE.format("exe = '/b'"), "name", "already"),
        ("mode = dry-run", "", "line 1"),
    ],
)
def test_a_bad_configuration_starts_nothing(tmp_path: Path, text: str, key: str, complaint: str) -> None:
    config, run = tmp_path / "oomguard.toml", tmp_path / "run"
    config.write_text(f'{text}\n[record]\npath = "{run}/record"\n')
    ended = oomguard("run", "--dry-run", "--config", config)
    (line,) = ended.stderr.splitlines()
    assert (ended.returncode, ended.stdout) == (1, "")
    assert f"{config}: " in line
    assert key in line
    assert complaint in line
    assert not run.exists()


@pytest.mark.parametrize(("make", "complaint"), [(Path.resolve, "No such file"), (Path.mkdir, "directory")])
def test_what_is_no_file_starts_nothing(tmp_path: Path, make: object, complaint: str) -> None:
    assert callable(make)
    make(config := tmp_path / "oomguard.toml")
    ended = oomguard("run", "--dry-run", "--config", config)
    (line,) = ended.stderr.splitlines()
    assert ended.returncode == 1
    assert str(config) in line
    assert complaint in line


def test_all_that_is_wrong_is_told_at_once(tmp_path: Path) -> None:
    config = tmp_path / "oomguard.toml"
    config.write_text('mode = "dry"\n[victim]\ngrace = 10\n')
    lines = oomguard("run", "--dry-run", "--config", config).stderr.splitlines()
    assert [line.removeprefix(f"oomguard: {config}: ").split(":")[0] for line in lines] == [
        "mode",
        "victim.grace",
    ]


@pytest.fixture
def open_folder() -> Iterator[Path]:
    """A folder that anybody can look into."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        folder.chmod(0o755)
        yield folder


def complaints(guard: Subject) -> list[str]:
    """What it said of what this host does not grant."""
    return [line for line in guard.log() if "Missing on this host" in line]


@ROOT
@pytest.mark.kill
def test_without_a_record_file_the_rest_goes_on(start: Start, tmp_path: Path) -> None:
    (tmp_path / "run").touch()
    port = free_port()
    guard = start(Settings(mode="dry-run"), "--metrics", f"127.0.0.1:{port}")
    (line,) = (line for line in complaints(guard) if "record" in line)
    assert f"{tmp_path}/run/record.lock: cannot keep the record's lock here: " in line
    assert "oomguard_up 1.0" in eventually(lambda: fetch(f"http://127.0.0.1:{port}/metrics"))


@ROOT
@pytest.mark.kill
def test_without_its_port_the_rest_goes_on(start: Start) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        guard = start(Settings(mode="dry-run"), "--metrics", f"127.0.0.1:{port}")
        (line,) = eventually(lambda: [line for line in guard.log() if "cannot listen" in line])
        assert f"127.0.0.1 port {port}: Address already in use" in line
        eventually(lambda: [line for line in guard.log() if "there are no metrics" in line])
        guard.polls()


@ROOT
@pytest.mark.kill
def test_not_root(open_folder: Path) -> None:
    config = open_folder / "oomguard.toml"
    Settings(mode="dry-run").write(config)
    port = free_port()
    nobody = ("setpriv", "--reuid=65534", "--regid=65534", "--clear-groups")
    guard = Subject(config, "--metrics", f"127.0.0.1:{port}", before=nobody)
    try:
        assert "oomguard_up 1.0" in eventually(lambda: fetch(f"http://127.0.0.1:{port}/metrics"))
        assert not [line for line in guard.log() if "Traceback" in line]
        lacks = ["the record", "the kernel may kill the guard itself", "has to wait its turn", "cannot lock"]
        lacks += ["CAP_KILL", "CAP_SYS_PTRACE", "CAP_DAC_OVERRIDE"]
        told = complaints(guard)
        assert [sum(lack in line for line in told) for lack in lacks] == [1] * len(lacks)
        assert len(told) == len(lacks)
    finally:
        guard.close()

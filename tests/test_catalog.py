"""systemd/oomguard.catalog: what `journalctl -x` says."""

from __future__ import annotations

import re
import shutil
import subprocess
from dataclasses import replace
from functools import cache
from pathlib import Path

import pytest

from oomguard.entry import Entry, MessageId, entry, lost, not_stopped
from oomguard.episode import Outcome
from oomguard.event import (
    Degraded,
    Event,
    Failed,
    KernelKilled,
    Lifecycle,
)
from oomguard.pressure import Phase
from oomguard.remedy import Action, Ending
from tests.telling import (
    ended,
    holding,
    killing,
    lifecycle,
    person,
    phase_changed,
    relieved,
    relieving,
    storming,
)

ROOT = Path(__file__).parents[1]
CATALOG = ROOT / "systemd/oomguard.catalog"
DOCUMENTS = "/usr/share/doc/oomguard/"
LONGEST = 4096
"""Of a field that journalctl puts into the text (PATH_MAX, since systemd 250; 256 before)."""

BARE = replace(person(unit=None), rules=())
SPARSE: tuple[Event, ...] = (
    replace(killing(BARE), runners_up=(), kernel_choice=None),
    ended(BARE, Outcome.RECOVERED),
    replace(holding(BARE), spared=(), biggest=(), held=()),
    storming(None),
    relieving(Action.FREEZE, None),
    relieved(Action.FREEZE, Ending.TIME),
    phase_changed(Phase.CALM),
    KernelKilled(kills=1),
    lifecycle(Lifecycle.STARTED),
    Degraded(text="x"),
    Failed(text="x"),
)
"""One of each kind, with as few fields as it can have."""


def sparse() -> tuple[Entry, ...]:
    return (*(entry(event, 0) for event in SPARSE), lost(1), not_stopped("a.service", "x"))


@cache
def texts() -> dict[str, str]:
    """The entries by their ids."""
    found = re.split(r"^-- ([0-9a-f]{32})\n", CATALOG.read_text(), flags=re.MULTILINE)[1:]
    return dict(zip(found[::2], found[1::2], strict=True))


def test_each_kind_of_event_is_explained() -> None:
    assert sorted(texts()) == sorted(MessageId)


@pytest.mark.parametrize("item", sparse(), ids=lambda item: item.message_id.name)
def test_only_fields_that_are_always_there_are_named(item: Entry) -> None:
    named = set(re.findall(r"@(\w+)@", texts()[item.message_id]))
    assert named <= {name for name, _ in item.fields}
    assert texts()[item.message_id].count("@") % 2 == 0


@pytest.mark.parametrize("text", texts().values(), ids=texts())
def test_each_has_its_headers_and_says_where_to_read_on(text: str) -> None:
    headers, _, body = text.partition("\n\n")
    assert [line.split(": ")[0] for line in headers.splitlines()] == [
        "Subject",
        "Defined-By",
        "Documentation",
    ]
    place = headers.rpartition("file:")[2]
    assert place.startswith(DOCUMENTS)
    assert (ROOT / "docs" / place.removeprefix(DOCUMENTS)).is_file()
    assert len(body) > 100
    assert max(map(len, body.splitlines())) <= 120


def journalctl(root: Path, *words: str) -> str:
    program = shutil.which("journalctl")
    if program is None:
        pytest.skip("journalctl is missing: nobody reads the catalogue")
    done = subprocess.run([program, f"--root={root}", *words], capture_output=True, text=True, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout


def test_systemd_takes_the_catalogue(tmp_path: Path) -> None:
    (tmp_path / "var/lib/systemd/catalog").mkdir(parents=True)
    place = tmp_path / "usr/lib/systemd/catalog"
    place.mkdir(parents=True)
    shutil.copy(CATALOG, place)
    journalctl(tmp_path, "--update-catalog")
    listed = journalctl(tmp_path, "--list-catalog").splitlines()
    assert sorted(line.split()[0] for line in listed) == sorted(MessageId)
    shown = journalctl(tmp_path, "--dump-catalog", MessageId.KILLING)
    assert "What to do: " in shown

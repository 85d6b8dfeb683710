"""Helpers of the guard: what they are passed, and what they are deaf to."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import pytest

from oomguard.child import UNTIL_ITS_OWN_END, has_ended, spawn

MODULE = """
import os, signal, sys
word, fd = sys.argv[1:]
blocked = sorted(signal.pthread_sigmask(signal.SIG_BLOCK, ()))
os.write(int(fd), f"{word} {blocked}".encode())
"""


def test_it_gets_its_words_and_descriptors_and_blocks_what_is_the_guards(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "helper_of_a_test.py").write_text(MODULE)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    ours, theirs = os.pipe()
    pid = spawn("helper_of_a_test", ("hello",), (theirs,))
    os.close(theirs)
    with os.fdopen(ours) as told:
        assert told.read() == f"hello {sorted(map(signal.Signals, UNTIL_ITS_OWN_END))}"
    until = time.monotonic() + 30
    while not has_ended(pid):
        assert time.monotonic() < until


def test_it_imports_nothing_from_the_folder_that_the_guard_was_started_in(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "helper_of_a_test.py").write_text(MODULE)
    monkeypatch.chdir(tmp_path)
    ours, theirs = os.pipe()
    pid = spawn("helper_of_a_test", ("hello",), (theirs,))
    os.close(theirs)
    with os.fdopen(ours) as told:
        assert told.read() == ""
    assert os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) == 1

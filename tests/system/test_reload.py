"""SIGHUP: a good configuration takes effect, a bad one is refused, and both can be seen."""

from __future__ import annotations

from signal import SIGHUP
from typing import Any

import pytest

from oomguard.event import Mode
from tests.system.conftest import Start
from tests.system.patience import eventually
from tests.system.subject import Settings, Subject
from tests.system.web import fetch, free_port

pytestmark = pytest.mark.kill


def metric(port: int, name: str) -> float:
    lines = eventually(lambda: fetch(f"http://127.0.0.1:{port}/metrics")).splitlines()
    return next(float(line.rpartition(" ")[2]) for line in lines if line.startswith(f"{name} "))


def status(guard: Subject) -> tuple[Any, Any, dict[str, int]]:
    document = guard.status()
    reloads = {each["result"]: each["value"] for each in document["counters"]["config_reloads"]}
    return document["state"]["mode"], document["state"]["config_ok"], reloads


def test_reload(start: Start) -> None:
    port = free_port()
    guard = start(Settings(), "--metrics", f"127.0.0.1:{port}")
    text = guard.config.read_text()

    guard.config.write_text(text.replace('"enforce"', '"dry-run"'))
    guard.send(SIGHUP)
    eventually(lambda: guard.state().mode is Mode.DRY_RUN)
    assert status(guard) == ("dry-run", True, {"accepted": 1, "refused": 0})

    guard.config.write_text(text + '\n[stal]\nbudget = "1s"\n')
    guard.send(SIGHUP)
    eventually(lambda: not guard.state().config_ok)
    assert status(guard) == ("dry-run", False, {"accepted": 1, "refused": 1})
    (refusal,) = eventually(lambda: [line for line in guard.log() if "refused" in line])
    assert f"{guard.config}: stal" in refusal
    assert metric(port, "oomguard_config_last_reload_successful") == 0
    assert metric(port, 'oomguard_config_reloads_total{result="refused"}') == 1

    guard.config.write_text(text)
    guard.send(SIGHUP)
    eventually(lambda: guard.state().mode is Mode.ENFORCE)
    assert status(guard) == ("enforce", True, {"accepted": 2, "refused": 1})
    assert metric(port, "oomguard_config_last_reload_successful") == 1
    assert (
        len(
            eventually(
                lambda: [line for line in guard.log() if "The new configuration is in force: " in line]
            )
        )
        == 2
    )

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from oomguard.config import load
from oomguard.episode import Outcome
from oomguard.errors import ConfigErrors
from oomguard.event import Event, KernelKilled, Lifecycle, Mode
from oomguard.hook import MOST_HOOKS, Hook, Occasion, occasion
from oomguard.pressure import Phase
from oomguard.remedy import Action, Ending
from oomguard.units import Seconds
from tests.telling import (
    ended,
    holding,
    killing,
    lifecycle,
    one_of_each,
    person,
    phase_changed,
    relieved,
    relieving,
    storming,
)

HOOK = """
[[hook]]
name = "h"
command = ["/bin/true", "a b", ""]
on = ["kill", "near"]
"""
DRY = Mode.DRY_RUN


@pytest.fixture
def main(tmp_path: Path) -> Path:
    return tmp_path / "oomguard.toml"


@pytest.mark.parametrize(
    ("event", "what"),
    [
        (killing(person()), Occasion.KILL),
        (killing(person(), mode=DRY), Occasion.WOULD_KILL),
        (ended(person(), Outcome.HUNG), Occasion.OUTCOME),
        (replace(ended(person(), Outcome.HUNG), mode=DRY), None),
        (relieving(Action.FREEZE), Occasion.RELIEF),
        (relieving(Action.FREEZE, None), None),
        (relieved(Action.FREEZE, Ending.TIME), Occasion.RELIEF),
        (storming(), Occasion.STORM),
        (storming(mode=DRY), None),
        (holding(person()), Occasion.HOLD),
        (phase_changed(Phase.ARMED), Occasion.NEAR),
        (phase_changed(Phase.CALM), Occasion.CALM),
        (phase_changed(Phase.ACTING), None),
        (KernelKilled(kills=1), Occasion.KERNEL_KILL),
        (lifecycle(Lifecycle.RELOAD_REFUSED), Occasion.PROBLEM),
        (lifecycle(Lifecycle.STARTED), None),
        (lifecycle(Lifecycle.STOPPING), None),
    ],
)
def test_occasion(event: Event, what: Occasion | None) -> None:
    assert occasion(event) is what


def test_each_occasion_comes_of_an_event() -> None:
    found = {occasion(event) for event in one_of_each("x")}
    assert found | {Occasion.WOULD_KILL, Occasion.CALM} == set(Occasion)


def test_a_hook_is_read(main: Path) -> None:
    main.write_text(HOOK + HOOK.replace('"h"', '"g"') + 'timeout = "1min"\nuser = "nobody"')
    first = Hook(
        name="h",
        command=("/bin/true", "a b", ""),
        on=(Occasion.KILL, Occasion.NEAR),
        timeout=Seconds(10.0),
        user=None,
    )
    assert load(main).hooks == (first, replace(first, name="g", timeout=Seconds(60.0), user="nobody"))


@pytest.mark.parametrize(
    ("change", "key", "problem"),
    [
        (('name = "h"', ""), "name", "is missing"),
        (('"h"', '"a b"'), "name", "must be 1 to 64 of the characters"),
        (('["/bin/true", "a b", ""]', '"/bin/true"'), "command", "must be a list of texts in quotes"),
        (('"a b"', "3"), "command", "must hold texts in quotes"),
        (('["/bin/true", "a b", ""]', "[]"), "command", "is empty"),
        (("/bin/true", "true"), "command", '"true" is not an absolute path'),
        (('"a b"', '"a\\u0000b"'), "command", "has a character that no argument can have"),
        (('""', ", ".join(['"x"'] * 63)), "command", "has 65 words; at most 64 may be"),
        (('command = ["/bin/true", "a b", ""]', ""), "command", "is missing"),
        (('on = ["kill", "near"]', ""), "on", "is missing"),
        (('["kill", "near"]', "[]"), "on", "must name each occasion once"),
        (('"near"', '"kill"'), "on", "must name each occasion once"),
        (('"near"', '"nere"'), "on", 'did you mean "near"?'),
        (('"near"]', '"near"]\ntimeout = "20min"'), "timeout", "it must be between 100ms and 10min"),
        (('"near"]', '"near"]\ntimeout = "0s"'), "timeout", "it must be between 100ms and 10min"),
        (('"near"]', '"near"]\ntimeout = 3'), "timeout", "must be text in quotes"),
        (('"near"]', '"near"]\nuser = "-u"'), "user", "is not the name of a user"),
        (('"near"]', '"near"]\nshell = true'), "shell", "is not a known key"),
        (("[[hook]]", "[hook]"), "hook", "write [[hook]], with two brackets"),
    ],
)
def test_what_is_wrong_with_a_hook_is_told(
    main: Path, change: tuple[str, str], key: str, problem: str
) -> None:
    main.write_text(HOOK.replace(*change))
    with pytest.raises(ConfigErrors) as caught:
        load(main)
    (line,) = (line for line in str(caught.value).splitlines() if f" {key}: " in line)
    assert line.startswith(f"{main}: hook")
    assert problem in line
    assert line.isprintable()


def test_names_are_unique_and_there_is_not_any_number(main: Path) -> None:
    hooks = [HOOK.replace('"h"', f'"h{number}"') for number in range(MOST_HOOKS + 1)]
    main.write_text("".join(hooks[:-1]))
    assert len(load(main).hooks) == MOST_HOOKS
    main.write_text("".join((*hooks, HOOK.replace('"h"', '"h0"'))))
    with pytest.raises(ConfigErrors) as caught:
        load(main)
    told = str(caught.value)
    assert 'hook "h8" name: is one hook too many: at most 8 may be' in told
    assert 'hook "h0" name: is the name of a hook in' in told


def test_a_rule_and_a_hook_may_share_a_name(main: Path) -> None:
    main.write_text(HOOK + '[[rule]]\nname = "h"\neffect = "never"\nexe = "/x"')
    assert (len(load(main).hooks), len(load(main).rules)) == (1, 1)

"""The [[cgroup]] of the configuration."""

from __future__ import annotations

from pathlib import Path

import pytest

from oomguard.config import load
from oomguard.enclosure import Entry
from oomguard.enclosures import KILL, MOST_ENTRIES, TERM
from oomguard.errors import ConfigErrors
from oomguard.units import Percent, Seconds

ENTRY = """
[[cgroup]]
name = "pens"
path = "/pens.slice/*"
"""


@pytest.fixture
def main(tmp_path: Path) -> Path:
    return tmp_path / "oomguard.toml"


def entries(main: Path, text: str) -> tuple[Entry, ...]:
    main.write_text(text)
    return load(main).enclosures


def problems(main: Path, text: str) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        entries(main, text)
    return str(caught.value).splitlines()


def test_an_entry_is_read(main: Path) -> None:
    assert entries(main, ENTRY + 'term = "80%"\nkill = "90.5%"\nbudget = "500ms"') == (
        Entry(name="pens", path="/pens.slice/*", term=Percent(80.0), kill=Percent(90.5), budget=Seconds(0.5)),
    )


def test_what_it_does_not_say(main: Path) -> None:
    assert entries(main, ENTRY) == (
        Entry(name="pens", path="/pens.slice/*", term=TERM, kill=KILL, budget=None),
    )
    assert entries(main, ENTRY + 'term = "99%"')[0].kill == Percent(99.0)


@pytest.mark.parametrize("path", ["/", "/a", "/a.slice/b", "/a b/*", "/a/[ab]?", "/..a"])
def test_paths(main: Path, path: str) -> None:
    assert entries(main, ENTRY.replace("/pens.slice/*", path))[0].path == path


@pytest.mark.parametrize(
    ("change", "key", "problem"),
    [
        (('"pens"', '"a b"'), "name", "must be 1 to 64 of the characters"),
        (('name = "pens"', ""), "name", "is missing"),
        (('path = "/pens.slice/*"', ""), "path", "is missing"),
        (("path =", "paths ="), "paths", 'did you mean "path"?'),
        (('"/pens.slice/*"', "3"), "path", "must be text in quotes"),
        (("/pens.slice/*", ""), "path", "is not a control group such as"),
        (("/pens.slice/*", "pens.slice"), "path", "is not a control group such as"),
        (("/pens.slice/*", "/a\\u0000"), "path", "is not a control group such as"),
        (("/pens.slice/*", "/a/"), "path", "no part of it may be empty, . or .."),
        (("/pens.slice/*", "//a"), "path", "no part of it may be empty, . or .."),
        (("/pens.slice/*", "/a/../b"), "path", "no part of it may be empty, . or .."),
        (("/pens.slice/*", "/a/."), "path", "no part of it may be empty, . or .."),
        (("/pens.slice/*", "/*/a"), "path", "has a glob before its last part"),
        (('/*"', '/*"\nterm = "0%"'), "term", "must be above 0%"),
        (('/*"', '/*"\nterm = "1GiB"'), "term", "is not a percentage"),
        (('/*"', '/*"\nkill = "94%"'), "kill", "kill is 94% and term is 95% of what may be used"),
        (('/*"', '/*"\nterm = "99%"\nkill = "98%"'), "kill", "must not be below term"),
        (('/*"', '/*"\nbudget = "0s"'), "budget", "must be above 0s and fit into stall.window"),
        (('/*"', '/*"\nbudget = "11s"'), "budget", "is 11s; it must be above 0s"),
        (('/*"', '/*"\nbudget = "1"'), "budget", "has no unit"),
    ],
)
def test_what_is_wrong_is_told(main: Path, change: tuple[str, str], key: str, problem: str) -> None:
    assert change[0] in ENTRY
    lines = problems(main, ENTRY.replace(*change))
    (line,) = (line for line in lines if f" {key}: " in line)
    assert line.startswith(f"{main}: cgroup ")
    assert problem in line
    assert line.isprintable()


def test_names_are_unique(main: Path) -> None:
    rule = '[[rule]]\nname = "pens"\nexe = "/x"\neffect = "never"\n'
    assert entries(main, ENTRY + rule)
    assert problems(main, ENTRY + ENTRY) == [
        f'{main}: cgroup "pens" name: is the name of a cgroup in {main} already; each needs its own'
    ]


def test_there_may_be_some(main: Path) -> None:
    many = [ENTRY.replace('pens"', f'p{number}"') for number in range(MOST_ENTRIES + 1)]
    assert len(entries(main, "".join(many[:-1]))) == MOST_ENTRIES
    assert problems(main, "".join(many)) == [
        f'{main}: cgroup "p16" name: is one [[cgroup]] too many: at most 16 may be'
    ]


@pytest.mark.parametrize("text", ['cgroup = "x"', "[cgroup]"])
def test_one_bracket_is_not_enough(main: Path, text: str) -> None:
    assert problems(main, text) == [
        f"{main}: cgroup: must be a list of tables: write [[cgroup]], with two brackets"
    ]


def test_a_window_that_was_refused_is_told_once(main: Path) -> None:
    assert len(problems(main, 'stall.window = "x"\n' + ENTRY + 'budget = "9s"')) == 1

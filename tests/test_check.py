from __future__ import annotations

import io
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from oomguard.badness import Policy
from oomguard.check import check, findings, show, to_toml
from oomguard.config import DEFAULTS, Address, Config, load
from oomguard.enclosure import Entry
from oomguard.event import Mode
from oomguard.hook import Hook, Occasion
from oomguard.meminfo import Memory
from oomguard.pressure import Limit, Limits, StallOf
from oomguard.remedy import AfterKill, Remedies, Restraint
from oomguard.rules import Effect, Field, Rule, Scope, Signal, pattern
from oomguard.sources import Sources, Use
from oomguard.storm import Response, Tolerance
from oomguard.units import MIB, Amount, Bytes, Percent, parse_duration

SHIPPED = Path(__file__).parent.parent / "config"
NOTHING = Bytes(0)


def memory(total: int = 1024, swap: int = 0) -> Memory:
    return Memory(
        total=Bytes(total * MIB),
        free=NOTHING,
        available=NOTHING,
        swap_total=Bytes(swap * MIB),
        swap_free=NOTHING,
        active_file=NOTHING,
        inactive_file=NOTHING,
        shmem=NOTHING,
        slab_unreclaimable=NOTHING,
        commit_limit=NOTHING,
        committed=NOTHING,
        hugetlb=NOTHING,
    )


def loaded(tmp_path: Path, text: str) -> Config:
    path = tmp_path / "oomguard.toml"
    path.write_text(text)
    return load(path)


def rule(body: str) -> str:
    return f'[[rule]]\nname = "r"\n{body}\n'


@pytest.mark.parametrize(
    ("text", "swap", "finding"),
    [
        (rule('effect = "never"\ncomm = "sshd"'), 0, 'rule "r": it rests on comm or cmdline alone, '),
        (rule('effect = "last"\ncmdline = "*x*"'), 0, "to be spared"),
        (rule('effect = "adjust"\npoints = -1\ncmdline = "*x*"\ncomm="x"'), 0, "to be spared"),
        (rule('effect = "prefer"\ncomm = "sshd"'), 0, "to avoid it"),
        (rule('effect = "adjust"\npoints = 1\ncomm = "sshd"'), 0, "to avoid it"),
        (rule('effect = "never"\nuser = "backup"'), 0, "spares everybody who has just started"),
        (rule('effect = "last"\nexe = "re:/usr/bin/x"'), 0, "spares everybody who has just started"),
        (rule('effect = "never"\nexe = "^/usr/bin/x$"'), 0, 'write "re:^/usr/bin/x$"'),
        (rule('effect = "never"\nexe = "/usr/.*"'), 0, "looks like a regular expression"),
        (rule('effect = "never"\nexe = "/usr/{a,b}"'), 0, "has braces"),
        (rule('effect = "never"\nexe = "sshd"'), 0, 'rule "r" exe: "sshd" never matches'),
        (rule('effect = "never"\ncgroup = "system.slice/*"'), 0, "never matches"),
        (rule('effect = "never"\nunit = "sshd"'), 0, "ends in .service or .scope"),
        (rule('effect = "prefer"\nuser = "u"\ncomm = "a-name-of-16-byt"'), 0, "comm is cut to 15 bytes"),
        ('relief.reclaim = ["user.slice/*"]', 0, 'relief.reclaim: "user.slice/*" never matches'),
        ('limits.available.term = "2GiB"', 0, "2GiB is more than this host has (1GiB)"),
        ('limits.available = {term = "0%", kill = "0%"}', 0, "limits.available.term: 0 is never crossed"),
        ('limits.available.kill = "300MiB"', 0, "limits.available.kill: it is above term here"),
        ('limits.swap_free.term = "1GiB"', 512, "swap_free.term: 1GiB is more than this host has (512MiB)"),
        ('limits.swap_free.kill = "300MiB"', 512, "limits.swap_free.kill: it is above term here"),
    ],
)  # fmt: skip
def test_what_is_probably_not_meant_is_found(tmp_path: Path, text: str, swap: int, finding: str) -> None:
    (line,) = findings(loaded(tmp_path, text), memory(swap=swap))
    assert finding in line
    assert line.isprintable()


@pytest.mark.parametrize(
    "text",
    [
        "",
        'limits.swap_free.term = "1GiB"',
        'limits.swap_free.term = "100%"',
        'limits.available = {term = "1GiB", kill = "1GiB"}',
        rule('effect = "never"\ncomm = "sshd"\nexe = "/usr/sbin/sshd"'),
        rule('effect = "prefer"\nuser = "backup"'),
        rule('effect = "never"\nuser = "backup"\ncgroup = "/system.slice/*"'),
        rule('effect = "prefer"\nexe = "re:^/usr/.*$"'),
        rule('effect = "never"\nexe = "*/sshd"'),
        rule('effect = "never"\nunit = "ssh*"'),
        rule('effect = "never"\nunit = "session-3.scope"'),
        rule('effect = "prefer"\nuser = "u"\ncomm = "a-name-of-15-by"'),
        rule('effect = "prefer"\nuser = "u"\ncomm = "*a-very-long-glob*"'),
    ],
)
def test_what_is_well_is_passed_over(tmp_path: Path, text: str) -> None:
    assert findings(loaded(tmp_path, text), memory()) == ()


@pytest.mark.parametrize("file", ["oomguard.toml", "utm.toml"])
def test_the_shipped_files_are_without_findings(file: str) -> None:
    assert findings(load(SHIPPED / file), memory(total=512)) == ()


def test_check_says_that_all_is_well(tmp_path: Path) -> None:
    path, out, err = tmp_path / "x.toml", io.StringIO(), io.StringIO()
    path.write_text(rule('effect = "never"\nexe = "/x"'))
    assert check(path, memory(), out, err) == 0
    assert out.getvalue() == "the configuration is valid: mode enforce, rules: 1\n"
    assert err.getvalue() == ""


@pytest.mark.parametrize("command", [check, show])
def test_findings_are_warnings_and_do_not_fail(tmp_path: Path, command: object) -> None:
    path, out, err = tmp_path / "x.toml", io.StringIO(), io.StringIO()
    path.write_text(rule('effect = "never"\ncomm = "x"\nunit = "x"'))
    assert callable(command)
    assert command(path, memory(), out, err) == 0
    assert out.getvalue() != ""
    (line,) = err.getvalue().splitlines()
    assert line.startswith('warning: rule "r" unit: ')


@pytest.mark.parametrize("command", [check, show])
def test_what_would_be_refused_fails(tmp_path: Path, command: object) -> None:
    path, out, err = tmp_path / "x.toml", io.StringIO(), io.StringIO()
    path.write_text('mode = "x"\nvictim.grace = 3')
    assert callable(command)
    assert command(path, memory(), out, err) == 1
    assert out.getvalue() == ""
    assert [line.startswith(f"{path}: ") for line in err.getvalue().splitlines()] == [True, True]


def test_show_puts_the_whole_configuration_out(tmp_path: Path) -> None:
    path, out = tmp_path / "x.toml", io.StringIO()
    path.write_text('victim.grace = "1500ms"')
    assert show(path, memory(), out, io.StringIO()) == 0
    assert loaded(tmp_path, out.getvalue()) == load(path)
    assert 'grace = "1.5s"' in out.getvalue()


PERCENTS = st.floats(0, 100).map(lambda value: Percent(round(value, 9)))
GROUPS = st.lists(st.sampled_from(["/a/*", 're:\\d"', "[!b]é\n"]), max_size=3)
SIZES = st.integers(0, 1 << 50).map(Bytes)
WINDOWS = st.integers(1000, 60_000)


@st.composite
def limit(draw: st.DrawFn) -> Limit:
    one: Amount
    other: Amount
    one, other = draw(st.tuples(PERCENTS, SIZES) | st.tuples(SIZES, PERCENTS))
    if draw(st.booleans()):
        sizes = sorted(draw(st.tuples(SIZES, SIZES)))
        one, other = sizes[1], sizes[0]
    return Limit(term=one, kill=other)


@st.composite
def rules(draw: st.DrawFn) -> tuple[Rule, ...]:
    names = draw(st.lists(st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True), max_size=3, unique=True))
    return tuple(draw(one_rule(name)) for name in names)


@st.composite
def one_rule(draw: st.DrawFn, name: str) -> Rule:
    effect = draw(st.sampled_from(Effect))
    chosen = draw(st.sets(st.sampled_from(Field), min_size=1))
    texts = st.text(min_size=1, max_size=20).filter(lambda text: not text.startswith("re:"))
    return Rule(
        name=name,
        patterns=tuple(
            pattern(field, draw(texts | st.just("re:a\\d.*"))) for field in Field if field in chosen
        ),
        effect=effect,
        points=draw(st.integers(1, 1000) | st.integers(-1000, -1)) if effect is Effect.ADJUST else 0,
        scope=None if effect is Effect.SIGNAL else draw(st.none() | st.sampled_from(Scope)),
        signal=draw(st.sampled_from(Signal)) if effect is Effect.SIGNAL else None,
    )


@st.composite
def hooks(draw: st.DrawFn) -> tuple[Hook, ...]:
    names = draw(st.lists(st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True), max_size=2, unique=True))
    words = st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)
    return tuple(
        Hook(
            name=name,
            command=("/" + draw(words), *draw(st.lists(words, max_size=3))),
            on=tuple(draw(st.lists(st.sampled_from(Occasion), min_size=1, unique=True))),
            timeout=parse_duration(f"{draw(st.integers(100, 600_000))}ms"),
            user=draw(st.none() | st.from_regex(r"[A-Za-z0-9_][A-Za-z0-9._-]{0,31}", fullmatch=True)),
        )
        for name in names
    )


@st.composite
def enclosures(draw: st.DrawFn, window: int) -> tuple[Entry, ...]:
    """The window is in ms."""
    names = draw(st.lists(st.from_regex(r"[A-Za-z0-9._-]{1,64}", fullmatch=True), max_size=3, unique=True))
    return tuple(
        Entry(
            name=name,
            path=draw(st.sampled_from(["/", "/a.slice", "/a.slice/*", '/a b/"\\[x]*'])),
            term=Percent(50.0),
            kill=draw(st.sampled_from([Percent(50.0), Percent(98.5)])),
            budget=draw(st.none() | st.just(parse_duration(f"{draw(st.integers(1, window))}ms"))),
        )
        for name in names
    )


@st.composite
def configs(draw: st.DrawFn) -> Config:
    window = draw(WINDOWS)
    return Config(
        mode=draw(st.sampled_from(Mode)),
        limits=Limits(
            available=draw(limit()),
            swap_free=draw(limit()),
            stall_budget=parse_duration(f"{draw(st.integers(1, window))}ms"),
            stall_window=parse_duration(f"{window}ms"),
            stall_of=draw(st.sampled_from(StallOf)),
            commit=draw(PERCENTS.filter(lambda percent: percent.value > 0)),
        ),
        policy=draw(st.sampled_from(Policy)),
        scope=draw(st.sampled_from(Scope)),
        grace=parse_duration(f"{draw(st.floats(0, 1e6)):.9f}s"),
        storm=Tolerance(
            kills=draw(st.integers(2, 16)),
            within=parse_duration(f"{draw(st.floats(1, 86400)):.9f}s"),
            action=draw(st.sampled_from(Response)),
        ),
        sources=Sources(process_events=draw(st.sampled_from(Use)), delays=draw(st.sampled_from(Use))),
        relief=Remedies(
            culprit=draw(st.sampled_from(Restraint)),
            lasts=parse_duration(f"{draw(st.floats(1, 60)):.9f}s"),
            reclaim=tuple(pattern(Field.CGROUP, each) for each in draw(GROUPS)),
            amount=draw(PERCENTS | SIZES),
            swapping=draw(st.sampled_from(AfterKill)),
        ),
        rules=draw(rules()),
        hooks=draw(hooks()),
        enclosures=draw(enclosures(window)),
        record="/" + draw(st.text(st.characters(exclude_characters="\0", codec="utf-8"), max_size=20)),
        listen=Address(
            host=draw(st.sampled_from(["::1", "h-1.x", "0.0.0.0"])), port=draw(st.integers(0, 65535))
        ),
    )


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow], deadline=None)
@given(config=configs())
def test_what_is_shown_loads_back_to_an_equal_configuration(tmp_path: Path, config: Config) -> None:
    shown = to_toml(config)
    assert all(char.isprintable() or char == "\n" for char in shown)
    assert loaded(tmp_path, shown) == config


def test_the_defaults_are_shown_as_people_write_them() -> None:
    assert to_toml(DEFAULTS).startswith('mode = "enforce"\n\n[limits.available]\nterm = "10%"\nkill = "5%"\n')


def hook(command: Path, more: str = "") -> str:
    return f'[[hook]]\nname = "h"\ncommand = ["{command}"]\non = ["kill"]\n{more}'


@pytest.mark.parametrize(
    ("mode", "more", "finding"),
    [
        (0o755, "", None),
        (0o775, "", "would run as root, and not only root can write it"),
        (0o757, "", "would run as root, and not only root can write it"),
        (0o757, 'user = "nobody"', None),
        (0o644, "", "is not a program that can be run"),
        (None, "", "cannot be run: No such file or directory"),
    ],
)
def test_findings_on_a_hook(tmp_path: Path, mode: int | None, more: str, finding: str | None) -> None:
    program = tmp_path / "program"
    if mode is not None:
        program.touch()
        program.chmod(mode)
        if os.geteuid() != 0 and finding is None and not more:
            pytest.skip("needs root: another user's program is a finding")
    found = findings(loaded(tmp_path, hook(program, more)), memory())
    assert len(found) == (finding is not None)
    assert all(line.startswith(f'hook "h" command: "{program}" {finding}') for line in found)

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from oomguard import config
from oomguard.badness import Policy
from oomguard.config import (
    DEFAULTS,
    MOST_RULES,
    Address,
    Config,
    listen_address,
    load,
    parse_address,
    record_path,
)
from oomguard.errors import ConfigErrors
from oomguard.event import Mode
from oomguard.pressure import Limit, Limits, StallOf
from oomguard.remedy import AfterKill, Remedies, Restraint
from oomguard.rules import Effect, Field, Scope, Signal, pattern
from oomguard.sources import Sources, Use
from oomguard.storm import Response, Tolerance
from oomguard.units import MIB, Bytes, Percent, Seconds

SHIPPED = Path(__file__).parent.parent / "config"

ALL_KEYS = """
mode = "dry-run"
limits.available.term = "300MiB"
limits.available.kill = "2.5%"
limits.swap_free.term = "100%"
limits.swap_free.kill = "1%"
stall.budget = "500ms"
stall.window = "5s"
stall.of = "anyone"
commit.term = "90%"
victim.policy = "classic"
victim.scope = "unit"
victim.grace = "3s"
storm.kills = 5
storm.within = "1h"
storm.action = "stop-unit"
sources.process_events = "on"
sources.delays = "off"
relief.culprit = "freeze"
relief.for = "30s"
relief.reclaim = ["/user.slice/*", "re:/b/.+"]
relief.amount = "64MiB"
relief.after_kill = "leave"
record.path = "/run/x/y"
metrics.listen = "[::1]:80"
"""

RULE = """
[[rule]]
name = "r"
effect = "never"
exe = "/x"
"""


@pytest.fixture
def main(tmp_path: Path) -> Path:
    path = tmp_path / "oomguard.toml"
    path.touch()
    return path


def drop_in(main: Path, name: str, text: str) -> Path:
    path = main.parent / "conf.d" / name
    path.parent.mkdir(exist_ok=True)
    path.write_text(text)
    return path


def problems(path: Path | None) -> list[str]:
    with pytest.raises(ConfigErrors) as caught:
        load(path)
    return str(caught.value).splitlines()


def test_an_empty_file_is_all_defaults(main: Path) -> None:
    assert load(main) == DEFAULTS


def test_empty_tables_are_all_defaults_too(main: Path) -> None:
    main.write_text("[limits]\n[limits.available]\n[stall]\n[victim]\n")
    assert load(main) == DEFAULTS


def test_every_key_is_read(main: Path) -> None:
    main.write_text(ALL_KEYS)
    assert load(main) == Config(
        mode=Mode.DRY_RUN,
        limits=Limits(
            available=Limit(term=Bytes(300 * MIB), kill=Percent(2.5)),
            swap_free=Limit(term=Percent(100.0), kill=Percent(1.0)),
            stall_budget=Seconds(0.5),
            stall_window=Seconds(5.0),
            stall_of=StallOf.ANYONE,
            commit=Percent(90.0),
        ),
        policy=Policy.CLASSIC,
        scope=Scope.UNIT,
        grace=Seconds(3.0),
        storm=Tolerance(kills=5, within=Seconds(3600.0), action=Response.STOP_UNIT),
        sources=Sources(process_events=Use.ON, delays=Use.OFF),
        relief=Remedies(
            culprit=Restraint.FREEZE,
            lasts=Seconds(30.0),
            reclaim=(pattern(Field.CGROUP, "/user.slice/*"), pattern(Field.CGROUP, "re:/b/.+")),
            amount=Bytes(64 * MIB),
            swapping=AfterKill.LEAVE,
        ),
        rules=(),
        hooks=(),
        enclosures=(),
        record="/run/x/y",
        listen=Address(host="::1", port=80),
    )


def test_a_rule_is_read(main: Path) -> None:
    main.write_text(
        '[[rule]]\nname = "b.1_x-y"\neffect = "adjust"\npoints = -300\nscope = "tree"\n'
        'cmdline = "re:java .*"\nexe = "/usr/bin/java"\nuser = "u"\ncomm = "j"\nunit = "j.service"\n'
        'cgroup = "/j"\n'
    )
    (rule,) = load(main).rules
    assert (rule.name, rule.effect, rule.points, rule.scope) == ("b.1_x-y", Effect.ADJUST, -300, Scope.TREE)
    assert {(each.field, each.text) for each in rule.patterns} == {
        (Field.CMDLINE, "re:java .*"),
        (Field.EXE, "/usr/bin/java"),
        (Field.USER, "u"),
        (Field.COMM, "j"),
        (Field.UNIT, "j.service"),
        (Field.CGROUP, "/j"),
    }


def test_without_a_file_all_is_default(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(config, "DEFAULT_PATH", tmp_path / "oomguard.toml")
    assert load(None) == DEFAULTS
    drop_in(tmp_path / "oomguard.toml", "a.toml", 'mode = "dry-run"')
    assert load(None).mode is Mode.DRY_RUN
    (tmp_path / "oomguard.toml").write_text('victim.grace = "1s"')
    assert load(None) == replace(DEFAULTS, mode=Mode.DRY_RUN, grace=Seconds(1.0))


def test_drop_ins_are_read_in_the_order_of_their_names(main: Path) -> None:
    for number in (3, 1, 9, 0, 4, 8, 2, 6, 7, 5):
        drop_in(main, f"{number}.toml", f'victim.grace = "{number}s"\n' + RULE.replace('"r"', f'"{number}"'))
    assert load(main).grace == Seconds(9.0)
    assert "".join(rule.name for rule in load(main).rules) == "0123456789"


def test_drop_ins_replace_values_and_add_rules(main: Path) -> None:
    main.write_text('victim.grace = "1s"\nvictim.scope = "tree"\n' + RULE.replace('"r"', '"main"'))
    drop_in(main, "20-b.toml", 'victim.grace = "3s"\n' + RULE.replace('"r"', '"b"'))
    drop_in(main, "10-a.toml", 'victim.grace = "2s"\nmode = "dry-run"\n' + RULE.replace('"r"', '"a"'))
    drop_in(main, ".hidden.toml", "rubbish")
    drop_in(main, "20-c.toml.dpkg-new", "rubbish")
    merged = load(main)
    assert (merged.grace, merged.scope, merged.mode) == (Seconds(3.0), Scope.TREE, Mode.DRY_RUN)
    assert [rule.name for rule in merged.rules] == ["main", "a", "b"]


@pytest.mark.parametrize(
    ("text", "key", "problem"),
    [
        ('mode = "enforse"', "mode", 'did you mean "enforce"?'),
        ("mode = true", "mode", "must be text in quotes, not true or false"),
        ("mode = {}", "mode", "must be text in quotes, not a table"),
        ('mode = ["enforce"]', "mode", "must be text in quotes, not a list"),
        ("mode = 2020-01-01", "mode", "must be text in quotes, not a date or time"),
        ('mdoe = "enforce"', "mdoe", 'is not a known key; did you mean "mode"?'),
        ("[limts]", "limts", 'is not a known key; did you mean "limits"?'),
        ("limits = 3", "limits", "must be a table: write [limits]"),
        ('available.term = "3%"', "available.term", 'did you mean "limits.available.term"?'),
        ('"limits.available.term" = "3%"', '"limits.available.term"', "is not a known key"),
        ('"a\\nb\\u001b" = "3%"', '"a\\nb\\x1b"', "is not a known key"),
        ("limits.available.term = nan", "limits.available.term", "not the number nan"),
        ("limits.available.term = inf", "limits.available.term", "not the number inf"),
        ("limits.available.term = 10", "limits.available.term", "not the number 10"),
        ('limits.available.term = "nan"', "limits.available.term", "is not a size"),
        ('limits.available.term = "10"', "limits.available.term", "has no unit"),
        ('limits.available.term = "-10%"', "limits.available.term", "is negative"),
        ('limits.available.term = "10s"', "limits.available.term", "known units are"),
        ('limits.available.kill = "20%"', "limits.available.kill", "kill is 20% and term is 10%"),
        ('limits.available.term = "4%"', "limits.available.term", "kill is 5% and term is 4%"),
        ('limits.swap_free.kill = "10.5%"', "limits.swap_free.kill", "must not be above term"),
        (
            'limits.available={term="1MiB", kill="2MiB"}',
            "limits.available.kill",
            "kill is 2MiB and term is 1MiB",
        ),
        ('stall.budget = "10 %"', "stall.budget", '"10 %" is not a duration such as "10s"'),
        ('stall.budget = "11s"', "stall.budget", "the budget is 11s in a window of 10s"),
        ('stall.budget = "2s"\nstall.window = "1s"', "stall.budget", "the budget is 2s in a window of 1s"),
        ('stall.budget = "0s"', "stall.budget", "must be above 0s"),
        ('stall.window = "500ms"', "stall.window", "is 0.5s; it must be between 1s and 60s"),
        ('stall.window = "61s"', "stall.window", "is 61s; it must be between 1s and 60s"),
        ('stall.of = "me"', "stall.of", "known are bystanders, anyone"),
        ('commit.term = "0%"', "commit.term", "must be above 0%"),
        ('commit.term = "1GiB"', "commit.term", "is not a percentage"),
        ('victim.policy = "culprits"', "victim.policy", 'did you mean "culprit"?'),
        ('victim.policy = "kernal"', "victim.policy", 'did you mean "kernel"?'),
        ('victim.scope = "proces"', "victim.scope", 'did you mean "process"?'),
        ('victim.grace = "-1s"', "victim.grace", "is negative"),
        ("storm.kills = 1", "storm.kills", "is 1; it must be from 2 to 16"),
        ("storm.kills = 17", "storm.kills", "is 17; it must be from 2 to 16"),
        ("storm.kills = -3", "storm.kills", "is -3; it must be from 2 to 16"),
        ("storm.kills = true", "storm.kills", "must be an integer, not true or false"),
        ("storm.kills = 3.0", "storm.kills", "must be an integer, not the number 3.0"),
        ('storm.kills = "3"', "storm.kills", "must be an integer, not text"),
        ('storm.within = "0s"', "storm.within", "is 0s; it must be between 1s and 24h"),
        ('storm.within = "25h"', "storm.within", "is 90000s; it must be between 1s and 24h"),
        ("storm.within = 600", "storm.within", "must be text in quotes, not the number 600"),
        ('storm.action = "stop"', "storm.action", 'did you mean "stop-unit"?'),
        ('storm.kill = "3"', "storm.kill", 'did you mean "storm.kills"?'),
        ('relief.culprit = "freze"', "relief.culprit", 'did you mean "freeze"?'),
        ("relief.culprit = false", "relief.culprit", "must be text in quotes"),
        ('relief.for = "0s"', "relief.for", "is 0s; it must be between 1s and 60s"),
        ('relief.for = "61s"', "relief.for", "is 61s; it must be between 1s and 60s"),
        ('relief.reclaim = "/x"', "relief.reclaim", "must be a list of texts in quotes, not text"),
        ("relief.reclaim = [3]", "relief.reclaim", "must hold texts in quotes, not the number 3"),
        ('relief.reclaim = [""]', "relief.reclaim", "is empty"),
        ('relief.reclaim = ["re:("]', "relief.reclaim", "is not a valid regular expression"),
        (f"relief.reclaim = {['/x'] * 17}", "relief.reclaim", "has 17 patterns; at most 16 may be"),
        ('relief.amount = "x"', "relief.amount", "is not a size"),
        ('relief.amout = "1%"', "relief.amout", 'did you mean "relief.amount"?'),
        ('record.path = "run/x"', "record.path", "is not an absolute path"),
        ('record.path = ""', "record.path", "is not an absolute path"),
        ('record.path = "/a\\u0000b"', "record.path", "is not an absolute path"),
        ('metrics.listen = "9797"', "metrics.listen", "is not an address and a port"),
        ('rule = "x"', "rule", "write [[rule]]"),
        ("[rule]", "rule", "write [[rule]]"),
    ],
)
def test_what_is_wrong_is_told_with_file_and_key(main: Path, text: str, key: str, problem: str) -> None:
    main.write_text(text)
    (line,) = problems(main)
    assert line.startswith(f"{main}: {key}: ")
    assert problem in line
    assert line.isprintable()


@pytest.mark.parametrize(
    ("change", "key", "problem"),
    [
        (('"r"', '""'), "name", "must be 1 to 64 of the characters"),
        (('"r"', '"a b"'), "name", "must be 1 to 64 of the characters"),
        (('"r"', '"a\\n"'), "name", "must be 1 to 64 of the characters"),
        (('"r"', f'"{"x" * 65}"'), "name", "must be 1 to 64 of the characters"),
        (('"r"', "3"), "name", "must be text in quotes"),
        (('name = "r"', ""), "name", "is missing"),
        (('effect = "never"', ""), "effect", "is missing"),
        (('"never"', '"nevr"'), "effect", 'did you mean "never"?'),
        (('exe = "/x"', ""), "name", "says nothing to match: give at least one of exe, unit"),
        (('"/x"', '""'), "exe", "is empty"),
        (('"/x"', '"re:"'), "exe", "is empty"),
        (('"/x"', '"re:("'), "exe", "is not a valid regular expression"),
        (('"/x"', '"re:(a+)+"'), "exe", "can take too long"),
        (('"/x"', "1000"), "exe", "must be text in quotes"),
        (("exe", "exx"), "exx", 'did you mean "exe"?'),
        (('"never"', '"adjust"'), "effect", '"adjust" needs points'),
        (('"never"', '"never"\npoints = 3'), "points", 'are only for effect = "adjust", not "never"'),
        (('"never"', '"adjust"\npoints = 0'), "points", "must be from -1000 to 1000, and not 0"),
        (('"never"', '"adjust"\npoints = 1001'), "points", "must be from -1000 to 1000, and not 0"),
        (('"never"', '"adjust"\npoints = -1001'), "points", "must be from -1000 to 1000, and not 0"),
        (('"never"', '"adjust"\npoints = 1.5'), "points", "must be an integer, not the number 1.5"),
        (('"never"', '"adjust"\npoints = nan'), "points", "must be an integer, not the number nan"),
        (('"never"', '"adjust"\npoints = true'), "points", "must be an integer, not true or false"),
        (('"never"', '"adjust"\npoints = "3"'), "points", "must be an integer, not text"),
        (('"never"', '"never"\nscope = "all"'), "scope", "is not a known word"),
        (('"never"', '"signal"'), "effect", '"signal" needs one to send'),
        (('"never"', '"never"\nsignal = "SIGUSR1"'), "signal", 'is only for effect = "signal", not "never"'),
        (('"never"', '"signal"\nsignal = "SIGKILL"'), "signal", "is not a known word"),
        (('"never"', '"signal"\nsignal = "SIGUSR1"\npoints = 3'), "points", "are only for"),
        (('"never"', '"signal"\nsignal = "SIGUSR1"\nscope = "tree"'), "scope", "is what dies with a victim"),
    ],
)
def test_what_is_wrong_with_a_rule_is_told(
    main: Path, change: tuple[str, str], key: str, problem: str
) -> None:
    main.write_text(RULE.replace(*change))
    lines = problems(main)
    (line,) = (line for line in lines if f" {key}: " in line)
    assert line.startswith(f"{main}: rule ")
    assert problem in line
    assert line.isprintable()


@pytest.mark.parametrize("points", [-1000, -1, 1, 1000])
def test_points_reach_as_far_as_oom_score_adj(main: Path, points: int) -> None:
    main.write_text(RULE.replace('"never"', f'"adjust"\npoints = {points}'))
    assert load(main).rules[0].points == points


@pytest.mark.parametrize("signal", Signal)
def test_a_rule_may_name_a_signal(main: Path, signal: Signal) -> None:
    main.write_text(RULE.replace('"never"', f'"signal"\nsignal = "{signal}"'))
    (rule,) = load(main).rules
    assert (rule.effect, rule.signal) == (Effect.SIGNAL, signal)


@pytest.mark.parametrize("seconds", [1, 60])
def test_the_bounds_of_a_restraint(main: Path, seconds: int) -> None:
    main.write_text(f'relief.for = "{seconds}s"')
    assert load(main).relief.lasts == Seconds(seconds)


def test_an_unnamed_rule_is_told_by_its_number(main: Path) -> None:
    main.write_text(RULE + RULE.replace('name = "r"', ""))
    assert problems(main) == [f"{main}: rule 2 name: is missing"]


def test_rule_names_are_unique_over_all_files(main: Path) -> None:
    main.write_text(RULE)
    other = drop_in(main, "a.toml", RULE)
    assert problems(main) == [
        f'{other}: rule "r" name: is the name of a rule in {main} already; each needs its own'
    ]


def test_there_may_be_many_rules_but_not_any_number(main: Path) -> None:
    rules = [RULE.replace('"r"', f'"r{number}"') for number in range(MOST_RULES + 1)]
    main.write_text("".join(rules[:-1]))
    assert len(load(main).rules) == MOST_RULES
    main.write_text("".join(rules))
    assert problems(main) == [f'{main}: rule "r64" name: is one rule too many: at most 64 may be']


@pytest.mark.parametrize(("kills", "within"), [(2, 1), (16, 86400)])
def test_the_bounds_of_a_storm(main: Path, kills: int, within: int) -> None:
    main.write_text(f'storm.kills = {kills}\nstorm.within = "{within}s"')
    assert load(main).storm == Tolerance(kills=kills, within=Seconds(within), action=Response.ALERT)


def test_kill_may_be_as_high_as_term(main: Path) -> None:
    main.write_text('limits.available.kill = "10%"\nlimits.swap_free = {term = "1MiB", kill = "1MiB"}')
    assert load(main).limits.available == Limit(term=Percent(10.0), kill=Percent(10.0))


def test_the_file_that_set_the_value_is_named(main: Path) -> None:
    main.write_text('limits.available.term = "20%"\nstall.budget = "3s"\nmode = "bad"\n')
    mode = drop_in(main, "a.toml", 'mode = "worse"')
    kill = drop_in(main, "b.toml", 'limits.available.kill = "30%"')
    window = drop_in(main, "c.toml", 'stall.window = "2s"')
    assert [line.split(": ")[:2] for line in problems(main)] == [
        [str(mode), "mode"],
        [str(kill), "limits.available.kill"],
        [str(main), "stall.budget"],
    ]
    assert window.exists()


def test_all_that_is_wrong_is_told_at_once(main: Path) -> None:
    main.write_text('mode = "x"\nvictim.grace = "x"\n' + RULE.replace("exe", "axa"))
    broken = drop_in(main, "a.toml", "= 3")
    lines = problems(main)
    assert [line.split(": ")[0] for line in lines] == [str(broken)] + [str(main)] * 4
    assert len({line.split(": ")[1] for line in lines}) == 5


def test_one_mistake_is_not_told_as_two(main: Path) -> None:
    main.write_text('limits.available.term = "x"\nlimits.available.kill = "20%"\n')
    (line,) = problems(main)
    assert "limits.available.term" in line
    main.write_text('stall.window = "x"\nstall.budget = "20s"\n')
    (line,) = problems(main)
    assert "stall.window" in line


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"mode = = 3", "is not valid TOML: Invalid value (at line 1, column 8)"),
        (b'a = 1\nmode = "', "is not valid TOML: Unterminated string (at end of document)"),
        (
            b'mode = "enforce"\nmode = "enforce"\n',
            "is not valid TOML: Cannot overwrite a value (at line 2, column 17)",
        ),
        (b"\n\nmode = '\xff'", "is not UTF-8 (at line 3)"),
        (b"a = " + b"[" * 100_000, "is not valid TOML: it is nested too deeply"),
        (b"a = " + b"9" * 5000, "is not valid TOML: Exceeds the limit"),
        (b"#" * (1 << 20) + b"\n", "is larger than 1048576 bytes"),
    ],
)
def test_what_is_not_toml_is_refused(main: Path, content: bytes, problem: str) -> None:
    main.write_bytes(content)
    (line,) = problems(main)
    assert line.startswith(f"{main}: {problem}")


def test_a_missing_file_is_refused_when_it_was_asked_for(tmp_path: Path) -> None:
    assert problems(tmp_path / "x.toml") == [f"{tmp_path}/x.toml: cannot be read: No such file or directory"]


def test_a_dangling_link_is_no_missing_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    main = tmp_path / "oomguard.toml"
    monkeypatch.setattr(config, "DEFAULT_PATH", main)
    main.symlink_to("nowhere")
    assert problems(None) == [f"{main}: cannot be read: No such file or directory"]


def test_a_directory_is_refused(tmp_path: Path) -> None:
    assert problems(tmp_path) == [f"{tmp_path}: cannot be read: Is a directory"]


def test_a_directory_among_the_drop_ins_is_refused(main: Path) -> None:
    (main.parent / "conf.d" / "a.toml").mkdir(parents=True)
    assert problems(main) == [f"{main.parent}/conf.d/a.toml: cannot be read: Is a directory"]


def test_drop_ins_that_cannot_be_listed_are_refused(main: Path) -> None:
    (main.parent / "conf.d").touch()
    assert problems(main) == [f"{main.parent}/conf.d: cannot be read: Not a directory"]


def test_an_unreadable_file_is_refused(main: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert problems(main) == [f"{main}: cannot be read: Permission denied"]


def test_what_people_ask_the_guard_by_is_read_from_a_refused_file(main: Path) -> None:
    main.write_text('mode = "nonsense"\n[record]\npath = "/x"\n[metrics]\nlisten = "[::1]:7"\n[nobody]\n')
    assert problems(main)
    assert record_path(main) == "/x"
    assert listen_address(main) == Address(host="::1", port=7)


@pytest.mark.parametrize("content", ["[[", '[record]\npath = 7\n[metrics]\nlisten = "x"\n'])
def test_what_cannot_be_read_is_the_default(main: Path, content: str) -> None:
    main.write_text(content)
    assert (record_path(main), listen_address(main)) == (DEFAULTS.record, DEFAULTS.listen)


def test_an_endless_file_is_refused() -> None:
    with pytest.raises(ConfigErrors, match="is larger than"):
        load(Path("/dev/zero"))


@pytest.mark.parametrize(
    ("text", "address"),
    [
        ("127.0.0.1:9797", Address(host="127.0.0.1", port=9797)),
        ("[::1]:9797", Address(host="::1", port=9797)),
        ("[::ffff:10.0.0.1]:1", Address(host="::ffff:10.0.0.1", port=1)),
        ("localhost:0", Address(host="localhost", port=0)),
        ("my-host.example:65535", Address(host="my-host.example", port=65535)),
    ],
)
def test_addresses(text: str, address: Address) -> None:
    assert parse_address(text) == address
    assert str(address) == text


@pytest.mark.parametrize(
    "text",
    ["", ":9797", "9797", "localhost", "localhost:", "::1:9797", "[::1]", "[]:1", "[localhost]:1", "a b:1",
     "h:65536", "h:123456", "h:-1", "h:1\n", "http://h:1", "h:\u0661"],
)  # fmt: skip
def test_what_is_not_an_address(text: str) -> None:
    with pytest.raises(ValueError, match="is not an address and a port such as"):
        parse_address(text)


def test_the_shipped_file_says_the_defaults(tmp_path: Path) -> None:
    shipped = SHIPPED / "oomguard.toml"
    assert load(shipped) == DEFAULTS
    uncommented = tmp_path / "oomguard.toml"
    lines = shipped.read_text().splitlines()
    uncommented.write_text("\n".join(_uncommented(line) for line in lines))
    assert load(uncommented) == DEFAULTS


def test_the_shipped_file_has_every_key(tmp_path: Path) -> None:
    lines = map(_uncommented, (SHIPPED / "oomguard.toml").read_text().splitlines())
    settings = [line for line in lines if line and not line.startswith("#") and not line.startswith("[")]
    assert len(settings) == len(ALL_KEYS.strip().splitlines())


def test_the_examples_of_rules_in_the_shipped_file_load(tmp_path: Path) -> None:
    lines = (SHIPPED / "oomguard.toml").read_text().splitlines()
    examples = [line.removeprefix("#   ") for line in lines if line.startswith("#   ")]
    main = tmp_path / "oomguard.toml"
    main.write_text("\n".join(examples))
    assert [rule.name for rule in load(main).rules] == ["database", "builds", "cache", "browsers"]


def test_the_file_for_a_firewall_box_loads() -> None:
    box = load(SHIPPED / "utm.toml")
    assert isinstance(box.limits.available.term, int)
    assert {"dropbear", "sshd", "ipsec", "dhcp-dns", "resolver"} <= {rule.name for rule in box.rules}


def _uncommented(line: str) -> str:
    return line[1:] if line.startswith("#") and line[1:2] not in {"", " "} else line

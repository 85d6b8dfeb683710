from __future__ import annotations

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.rules import (
    NO_RULE,
    Effect,
    Field,
    Rule,
    Scope,
    Standing,
    Subject,
    Unread,
    glance,
    judge,
    pattern,
    protects,
)

SAFER = [Standing.PREFERRED, Standing.ORDINARY, Standing.LAST, Standing.NEVER]

POSTGRES = Subject(
    exe="/usr/lib/postgresql/15/bin/postgres",
    unit="postgresql@15-main.service",
    cgroup="/system.slice/postgresql@15-main.service",
    user="postgres",
    comm="postgres",
    cmdline="/usr/lib/postgresql/15/bin/postgres -D /var/lib/postgresql/15/main",
    doubtful=frozenset(),
)


def rule(
    effect: Effect,
    fields: dict[str, str],
    *,
    name: str = "r",
    points: int = 0,
    scope: Scope | None = None,
) -> Rule:
    patterns = tuple(pattern(Field(field), text) for field, text in fields.items())
    return Rule(name=name, patterns=patterns, effect=effect, points=points, scope=scope)


def never(**fields: str) -> Rule:
    return rule(Effect.NEVER, fields)


@pytest.mark.parametrize(
    ("field", "text", "value", "matches"),
    [
        ("exe", "/usr/bin/x", "/usr/bin/x", True),
        ("exe", "/usr/bin/x", "/usr/bin/xy", False),
        ("exe", "/usr/bin/x", "/usr/bin/x\n", False),
        ("exe", "/usr/bin/x", "/USR/bin/x", False),
        ("exe", "bin/x", "/usr/bin/x", False),
        ("exe", "/usr/*/x", "/usr/a/b/x", True),
        ("exe", "/usr/?/x", "/usr/a/x", True),
        ("exe", "/usr/?/x", "/usr/ab/x", False),
        ("exe", "/usr/[ab]/x", "/usr/b/x", True),
        ("exe", "/usr/[!ab]/x", "/usr/b/x", False),
        ("exe", "*", "a\nb\udcff", True),
        ("exe", "a?b", "a\udcffb", True),
        ("exe", "a.b", "axb", False),
        ("exe", "[", "[", True),
        ("exe", "re:/usr/bin/x", "/usr/bin/x", True),
        ("exe", "re:/usr/bin/x", "/usr/bin/x\n", False),
        ("exe", "re:bin/x", "/usr/bin/x", False),
        ("exe", "re:/usr/bin/(x|xy)", "/usr/bin/xy", True),
        ("exe", "re:a.b", "a\nb", True),
        ("exe", r"re:a\udcffb", "a\udcffb", True),
        ("exe", "re:(?i)/USR.*", "/usr/x", True),
        ("exe", "re:re:x", "re:x", True),
        ("cgroup", "re:/docker/[0-9a-f]{64}", "/docker/" + "0f" * 32, True),
        ("cmdline", "*org.example.Main*", "java " + "-cp x " * 9000 + "org.example.Main -v", True),
        ("cmdline", "re:java .*Main", "java " + "-cp x " * 9000 + "Main", False),
    ],
)
def test_a_pattern_matches_the_whole_value(field: str, text: str, value: str, matches: bool) -> None:
    names = {"exe": "/", "cgroup": "/", "cmdline": "", field: value}
    subject = replace(POSTGRES, exe=names["exe"], cgroup=names["cgroup"], cmdline=names["cmdline"])
    verdict = judge((never(**{field: text}),), subject)
    assert (verdict.standing is Standing.NEVER) is matches
    assert not verdict.unresolved


@pytest.mark.parametrize("field", list(Field))
@pytest.mark.parametrize("text", ["*postgres*", "re:.*postgres.*"])
def test_each_field_is_matched_with_its_own_name(field: Field, text: str) -> None:
    other = Subject(exe="", unit="", cgroup="", user="", comm="", cmdline="", doubtful=frozenset())
    one = replace(other, **{field.value: getattr(POSTGRES, field.value)})
    assert judge((never(**{field: text}),), one).standing is Standing.NEVER
    assert judge((never(**{field: text}),), other) == NO_RULE


def test_all_patterns_of_a_rule_must_match() -> None:
    both = never(exe="*/postgres", user="postgres")
    assert judge((both,), POSTGRES).standing is Standing.NEVER
    assert judge((both,), replace(POSTGRES, user="eve")) == NO_RULE
    assert judge((both,), replace(POSTGRES, exe="/tmp/x")) == NO_RULE


@pytest.mark.parametrize("field", ["exe", "unit", "user", "cmdline"])
def test_who_has_no_such_name_is_not_matched(field: str) -> None:
    assert judge((never(**{field: "*"}),), replace(POSTGRES, **{field: None})) == NO_RULE  # type: ignore[arg-type]  # any field


@pytest.mark.parametrize(
    ("effects", "standing"),
    [
        ((), Standing.ORDINARY),
        ((Effect.ADJUST,), Standing.ORDINARY),
        ((Effect.PREFER, Effect.ADJUST), Standing.PREFERRED),
        ((Effect.PREFER, Effect.LAST), Standing.LAST),
        ((Effect.NEVER, Effect.LAST, Effect.PREFER), Standing.NEVER),
        ((Effect.PREFER, Effect.NEVER), Standing.NEVER),
    ],
)
def test_never_beats_last_beats_prefer(effects: tuple[Effect, ...], standing: Standing) -> None:
    assert judge(tuple(rule(effect, {"exe": "*"}) for effect in effects), POSTGRES).standing is standing


def test_a_verdict_names_all_that_matched_in_order_and_takes_the_first_scope() -> None:
    rules = (
        rule(Effect.ADJUST, {"user": "postgres"}, name="b", points=-300),
        rule(Effect.NEVER, {"exe": "/nowhere"}, name="no", scope=Scope.CGROUP),
        rule(Effect.PREFER, {"exe": "*/postgres"}, name="a", scope=Scope.TREE),
        rule(Effect.ADJUST, {"unit": "postgresql@*"}, name="c", points=100, scope=Scope.UNIT),
    )
    verdict = judge(rules, POSTGRES)
    assert verdict.rules == ("b", "a", "c")
    assert verdict.points == -200
    assert verdict.scope is Scope.TREE
    assert verdict.standing is Standing.PREFERRED


PROTECTING = [(Effect.NEVER, 0), (Effect.LAST, 0), (Effect.ADJUST, -1)]
EXPOSING = [(Effect.PREFER, 0), (Effect.ADJUST, 1)]


@pytest.mark.parametrize(("effect", "points"), PROTECTING)
@pytest.mark.parametrize("field", list(Field))
def test_a_name_that_may_be_made_up_earns_no_protection(effect: Effect, points: int, field: Field) -> None:
    honest = rule(effect, {field: "*postgres*"}, points=points)
    poser = replace(POSTGRES, doubtful=frozenset({field}))
    assert judge((honest,), POSTGRES).rules == ("r",)
    assert judge((honest,), poser) == NO_RULE
    assert judge(glance((honest,)), poser) == NO_RULE


@pytest.mark.parametrize(("effect", "points"), EXPOSING)
@pytest.mark.parametrize("field", list(Field))
def test_nor_does_it_save_from_being_preferred(effect: Effect, points: int, field: Field) -> None:
    exposing = rule(effect, {field: "*postgres*"}, points=points)
    assert judge((exposing,), replace(POSTGRES, doubtful=frozenset(Field))).rules == ("r",)


def test_doubt_about_one_name_spoils_the_whole_rule() -> None:
    both = never(exe="*/postgres", comm="postgres")
    assert judge((both,), replace(POSTGRES, doubtful=frozenset({Field.COMM}))) == NO_RULE


@pytest.mark.parametrize(("effect", "points"), PROTECTING)
@pytest.mark.parametrize("field", ["user", "cmdline"])
def test_an_unread_name_leaves_protection_open(effect: Effect, points: int, field: str) -> None:
    unread = replace(POSTGRES, **{field: Unread.UNREAD})  # type: ignore[arg-type]  # either field may be unread
    verdict = judge((rule(effect, {"exe": "*/postgres", field: "x"}, points=points),), unread)
    assert verdict == replace(NO_RULE, unresolved=True)
    verdict = judge((rule(effect, {"exe": "/nowhere", field: "x"}, points=points),), unread)
    assert verdict == NO_RULE
    verdict = judge((rule(effect, {field: "x", "exe": "/nowhere"}, points=points),), unread)
    assert verdict == NO_RULE


@pytest.mark.parametrize(("effect", "points"), EXPOSING)
def test_an_unread_name_never_exposes(effect: Effect, points: int) -> None:
    unread = replace(POSTGRES, cmdline=Unread.UNREAD)
    assert judge((rule(effect, {"cmdline": "*"}, points=points),), unread) == NO_RULE


def test_glancing_leaves_expressions_unread_and_keeps_globs() -> None:
    (glanced,) = glance((never(exe="*/postgres", cgroup="re:.*postgres.*"),))
    assert [each.regex is None for each in glanced.patterns] == [False, True]
    assert [each.text for each in glanced.patterns] == ["*/postgres", "re:.*postgres.*"]
    assert judge((glanced,), POSTGRES) == replace(NO_RULE, unresolved=True)
    assert judge((glanced,), replace(POSTGRES, exe="/tmp/x")) == NO_RULE


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is empty"),
        ("re:", "is empty"),
        ("x" * 4097, "is longer than 4096 characters"),
        ("re:(", "is not a valid regular expression"),
        ("re:[[a]", "is not a valid regular expression"),
        ("re:a{99999999999}", "is not a valid regular expression"),
        ("re:" + "(" * 900 + ")" * 900, "is nested too deeply"),
        (r"re:(.)\1", "back-reference"),
        (r"re:(.)?(?(1)a|b)", "back-reference"),
    ],
)
def test_patterns_that_are_refused(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        pattern(Field.EXE, text)


ANY_TEXT = st.text(st.characters(exclude_categories=()))
TEXTS = st.text(st.sampled_from("/ab*[?]\n\udcff"), max_size=8)
GLOBS = st.text(st.sampled_from("/ab*[?]!-"), min_size=1, max_size=4)
EXPRESSIONS = st.sampled_from(["re:.*", "re:/a*", "re:[ab/]+", "re:(a|b)/?.*"])


@st.composite
def any_rule(draw: st.DrawFn) -> Rule:
    effect = draw(st.sampled_from(Effect))
    fields = draw(st.lists(st.sampled_from(Field), min_size=1, max_size=3, unique=True))
    return Rule(
        name=draw(st.text("abc", min_size=1, max_size=3)),
        patterns=tuple(pattern(field, draw(st.just("*") | GLOBS | EXPRESSIONS)) for field in fields),
        effect=effect,
        points=draw(st.sampled_from([-200, -7, 7, 200])) if effect is Effect.ADJUST else 0,
        scope=draw(st.none() | st.sampled_from(Scope)),
    )


RULES = st.lists(any_rule(), max_size=5).map(tuple)
SUBJECTS = st.builds(
    Subject,
    exe=st.none() | TEXTS,
    unit=st.none() | TEXTS,
    cgroup=TEXTS,
    user=st.none() | st.just(Unread.UNREAD) | TEXTS,
    comm=TEXTS,
    cmdline=st.none() | st.just(Unread.UNREAD) | TEXTS,
    doubtful=st.frozensets(st.sampled_from(Field), max_size=2),
)


@given(RULES, SUBJECTS, st.randoms(use_true_random=False))
def test_never_is_absolute_whatever_is_added_in_whatever_order(
    others: tuple[Rule, ...], subject: Subject, order: random.Random
) -> None:
    trusted = replace(subject, exe="/sbin/sshd", doubtful=frozenset())
    rules = [never(exe="/sbin/sshd"), *others]
    order.shuffle(rules)
    assert judge(tuple(rules), trusted).standing is Standing.NEVER


@given(RULES, SUBJECTS, st.randoms(use_true_random=False))
def test_standing_and_points_do_not_depend_on_the_order(
    rules: tuple[Rule, ...], subject: Subject, order: random.Random
) -> None:
    shuffled = list(rules)
    order.shuffle(shuffled)
    one, other = judge(rules, subject), judge(tuple(shuffled), subject)
    assert (one.standing, one.points, one.unresolved) == (other.standing, other.points, other.unresolved)
    assert sorted(one.rules) == sorted(other.rules)


@given(RULES, st.builds(lambda subject, text: replace(subject, exe=text, cmdline=text), SUBJECTS, ANY_TEXT))
def test_any_text_is_judged_and_rules_do_not_disturb_each_other(
    rules: tuple[Rule, ...], subject: Subject
) -> None:
    alone = [judge((each,), subject) for each in rules]
    together = judge(rules, subject)
    assert together.rules == tuple(name for verdict in alone for name in verdict.rules)
    assert together.points == sum(verdict.points for verdict in alone)
    assert together.unresolved is any(verdict.unresolved for verdict in alone)


def _no_less_spared(rules: tuple[Rule, ...], hasty: tuple[Rule, ...], full: Subject, seen: Subject) -> bool:
    """The law of haste: who is judged knowing less is unresolved, or at least as safe."""
    slow, quick = judge(rules, full), judge(hasty, seen)
    safer = SAFER.index(quick.standing) >= SAFER.index(slow.standing) and quick.points <= slow.points
    return quick.unresolved or safer


@given(RULES, SUBJECTS)
def test_at_a_glance_nobody_is_less_spared(rules: tuple[Rule, ...], subject: Subject) -> None:
    assert _no_less_spared(rules, glance(rules), subject, subject)


@given(RULES, SUBJECTS, st.booleans(), st.booleans())
def test_before_slow_names_are_read_nobody_is_less_spared(
    rules: tuple[Rule, ...], subject: Subject, user: bool, cmdline: bool
) -> None:
    seen = replace(
        subject,
        user=Unread.UNREAD if user else subject.user,
        cmdline=Unread.UNREAD if cmdline else subject.cmdline,
    )
    assert _no_less_spared(rules, glance(rules), subject, seen)


@pytest.mark.parametrize(
    ("effect", "points", "gains"),
    [(*each, True) for each in PROTECTING] + [(*each, False) for each in EXPOSING],
)
def test_which_rules_protect(effect: Effect, points: int, gains: bool) -> None:
    assert protects(rule(effect, {"exe": "*"}, points=points)) is gains

"""The operator's rules: who never dies, who dies last or first, and whose badness is moved by how much.

Pure: names come in as a `Subject`, a `Verdict` goes out. What a rule says is absolute where it says
`never`; a name that the process may have made up for itself earns no protection.
"""

from __future__ import annotations

from enum import Enum, StrEnum
from typing import TYPE_CHECKING, assert_never

from oomguard.frozen import frozen, positional, replace
from oomguard.names import LONGEST

if TYPE_CHECKING:
    from re import Pattern as Regex


class Effect(StrEnum):
    """What a rule does to the processes that match it."""

    NEVER = "never"
    LAST = "last"
    PREFER = "prefer"
    ADJUST = "adjust"
    SIGNAL = "signal"
    """Moves nobody in the order of death: gets a signal once memory is getting short."""


class Signal(StrEnum):
    """What a process can be asked by to shrink itself."""

    HUP = "SIGHUP"
    USR1 = "SIGUSR1"
    USR2 = "SIGUSR2"
    WINCH = "SIGWINCH"
    RELEASE = "SIGRTMIN+18"
    """What the daemons of systemd take it for (systemd's MEMORY_PRESSURE.md)."""


class Standing(StrEnum):
    """Where all the matching rules together put a process, in the order in which they would die."""

    PREFERRED = "prefer"
    ORDINARY = "none"
    LAST = "last"
    NEVER = "never"


class Scope(StrEnum):
    """What dies with the victim."""

    PROCESS = "process"
    TREE = "tree"
    GROUP = "group"
    SESSION = "session"
    CGROUP = "cgroup"
    UNIT = "unit"
    FAMILY = "family"
    """Whoever grows together with it."""


class Field(StrEnum):
    """What a rule can match on."""

    EXE = "exe"
    UNIT = "unit"
    CGROUP = "cgroup"
    USER = "user"
    COMM = "comm"
    CMDLINE = "cmdline"


@positional
class Pattern:
    """A glob or a `re:` expression that must match the whole value."""

    field: Field
    text: str
    """As configured, `re:` included."""
    regex: Regex[str] | None
    """None: not to be run now (see `glance`), so that its field counts as unread."""


@frozen
class Rule:
    """One [[rule]] of the configuration; all of its patterns must match."""

    name: str
    patterns: tuple[Pattern, ...]
    effect: Effect
    points: int = 0
    """For `adjust`, in thousandths of memory and swap, as oom_score_adj has them."""
    scope: Scope | None = None
    signal: Signal | None = None
    """For `signal`."""


class Unread(Enum):
    """A name that was not read yet: a protecting rule that turns on it can be neither granted nor denied."""

    UNREAD = "unread"


@frozen
class Subject:
    """The names of one process. None: it has none; `Unread`: it was not read yet."""

    exe: str | None
    unit: str | None
    cgroup: str
    user: str | Unread | None
    comm: str
    cmdline: str | Unread | None
    doubtful: frozenset[Field]
    """What the process may have made up for itself, so that it earns no protection: comm once it is not
    the executable's name any more, exe in a user namespace where anyone may mount anything anywhere."""


@frozen
class Verdict:
    """What the rules say of one process, and which of them."""

    standing: Standing
    points: int
    """The sum of the adjustments, in thousandths of memory and swap."""
    scope: Scope | None
    """What a matching rule asks for; the first one in the order of the configuration."""
    rules: tuple[str, ...]
    """The names of all the rules that matched."""
    unresolved: bool
    """A protecting rule may match once a slow name is known: until then the process is spared."""


_EXPRESSION = "re:"

NO_RULE = Verdict(standing=Standing.ORDINARY, points=0, scope=None, rules=(), unresolved=False)
"""The verdict on a process that no rule speaks of."""


def pattern(field: Field, text: str) -> Pattern:
    """The pattern that the configuration writes as `field = text`.

    A glob has `*`, `?` and `[...]`, heeds case, and its `*` matches `/` too; it costs no more than the name
    is long times the glob. `re:` begins a regular expression (`expression.compile_bounded`), which sees
    the first `LONGEST` characters of a name. ValueError, in words for people, where neither will do.
    """
    if text in {"", _EXPRESSION}:
        raise ValueError("is empty: say what to match, or leave the key out")
    if len(text) > LONGEST:
        raise ValueError(f"is longer than {LONGEST} characters")
    from oomguard.expression import compile_bounded, compile_glob  # noqa: PLC0415 - only for who has patterns

    if text.startswith(_EXPRESSION):
        regex = compile_bounded(text.removeprefix(_EXPRESSION))
    else:
        regex = compile_glob(text)
    return Pattern(field, text, regex)


def is_match(pattern: Pattern, value: str) -> bool:
    """Whether it matches the whole of `value`; never where it is not to be run now."""
    end = LONGEST if is_expression(pattern) else len(value)
    return pattern.regex is not None and pattern.regex.fullmatch(value, 0, end) is not None


def is_expression(pattern: Pattern) -> bool:
    """Whether it is a `re:` expression, rather than a glob."""
    return pattern.text.startswith(_EXPRESSION)


def judge(rules: tuple[Rule, ...], subject: Subject) -> Verdict:
    """The `Verdict` of all `rules` together: never beats last beats prefer, points add up.

    A rule matches if all of its patterns do. Where only unread names are left to decide, a rule that
    protects leaves the verdict unresolved, and one that does not is taken not to match.
    """
    answers = [(rule, _matches(rule, subject)) for rule in rules]
    matched = [rule for rule, answer in answers if answer is True]
    effects = {rule.effect for rule in matched}
    return Verdict(
        standing=next((standing for effect, standing in _STANDINGS if effect in effects), Standing.ORDINARY),
        points=sum(rule.points for rule in matched),
        scope=next((rule.scope for rule in matched if rule.scope is not None), None),
        rules=tuple(rule.name for rule in matched),
        unresolved=any(answer is Unread.UNREAD and protects(rule) for rule, answer in answers),
    )


def glance(rules: tuple[Rule, ...]) -> tuple[Rule, ...]:
    """`rules` for the kill path: globs stay, as they match in linear time; `re:` fields count as unread.

    Judged by these, nobody is less spared than by `rules`: the verdict is unresolved, or its standing is
    the same or safer and its points are the same or fewer.
    """
    return tuple(replace(rule, patterns=tuple(map(_deferred, rule.patterns))) for rule in rules)


def protects(rule: Rule) -> bool:
    """Whether a process gains by matching: only then does it pay to pose as another."""
    return rule.effect in {Effect.NEVER, Effect.LAST} or rule.points < 0


_STANDINGS = (
    (Effect.NEVER, Standing.NEVER),
    (Effect.LAST, Standing.LAST),
    (Effect.PREFER, Standing.PREFERRED),
)


def _matches(rule: Rule, subject: Subject) -> bool | Unread:
    open_question = False
    for each in rule.patterns:
        answer = _answer(each, subject)
        if answer is False or (each.field in subject.doubtful and protects(rule)):
            return False
        open_question |= answer is Unread.UNREAD
    return Unread.UNREAD if open_question else True


def _answer(pattern: Pattern, subject: Subject) -> bool | Unread:
    value = _value(pattern.field, subject)
    if value is None:
        return False
    if pattern.regex is None or isinstance(value, Unread):
        return Unread.UNREAD
    return is_match(pattern, value)


def _value(field: Field, subject: Subject) -> str | Unread | None:
    match field:
        case Field.EXE:
            return subject.exe
        case Field.UNIT:
            return subject.unit
        case Field.CGROUP:
            return subject.cgroup
        case Field.USER:
            return subject.user
        case Field.COMM:
            return subject.comm
        case Field.CMDLINE:
            return subject.cmdline
        case _:
            assert_never(field)


def _deferred(pattern: Pattern) -> Pattern:
    return replace(pattern, regex=None) if is_expression(pattern) else pattern

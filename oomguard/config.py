"""The configuration: /etc/oomguard/oomguard.toml and its conf.d, read whole or refused whole."""

from __future__ import annotations

import os.path
from functools import partial
from itertools import chain

from oomguard import sections
from oomguard.badness import Policy
from oomguard.documents import CGROUP, HOOK, RULE, Document, find, tables_of
from oomguard.enclosure import Entry
from oomguard.enclosures import entries
from oomguard.errors import ConfigError, ConfigErrors
from oomguard.event import Mode
from oomguard.frozen import frozen
from oomguard.hook import MOST_HOOKS, Hook
from oomguard.hook import parse as parse_hook
from oomguard.names import DIGITS, LETTERS, quoted
from oomguard.pressure import Limit, Limits, StallOf
from oomguard.remedy import AfterKill, Remedies, Restraint
from oomguard.rules import Effect, Field, Rule, Scope, Signal, pattern
from oomguard.sources import Sources, Use
from oomguard.storm import Response, Tolerance
from oomguard.table import Table, refuse_duplicates, take_name, word
from oomguard.units import (
    Percent,
    Seconds,
    parse_duration,
)

DEFAULT_PATH = "/etc/oomguard/oomguard.toml"
MOST_RULES = 64
"""Each rule is a label of the metrics, and is tried on every process."""

_HOST = LETTERS | DIGITS | frozenset("._-")
_IPV6 = DIGITS | frozenset("ABCDEFabcdef:.")


@frozen
class Address:
    """Where a server listens."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"[{self.host}]:{self.port}" if ":" in self.host else f"{self.host}:{self.port}"


@frozen
class Config:
    """All that the operator decides, checked and with its defaults filled in."""

    mode: Mode
    limits: Limits
    policy: Policy
    scope: Scope
    grace: Seconds
    """[victim] grace: the longest time from TERM to KILL; it shrinks with the headroom."""
    storm: Tolerance
    sources: Sources
    relief: Remedies
    rules: tuple[Rule, ...]
    hooks: tuple[Hook, ...]
    """For `oomguard hooks`; the guard runs none."""
    enclosures: tuple[Entry, ...]
    """The [[cgroup]]s."""
    record: str
    """[record] path."""
    listen: Address
    """[metrics] listen, of the exporter."""


DEFAULTS = Config(
    mode=Mode.ENFORCE,
    limits=Limits(
        available=Limit(term=Percent(10.0), kill=Percent(5.0)),
        swap_free=Limit(term=Percent(10.0), kill=Percent(5.0)),
        stall_budget=Seconds(1.0),
        stall_window=Seconds(10.0),
        stall_of=StallOf.BYSTANDERS,
        commit=Percent(95.0),
    ),
    policy=Policy.CULPRIT,
    scope=Scope.FAMILY,
    grace=Seconds(10.0),
    storm=Tolerance(kills=3, within=Seconds(600.0), action=Response.ALERT),
    sources=Sources(process_events=Use.AUTO, delays=Use.AUTO),
    relief=Remedies(
        culprit=Restraint.NONE, lasts=Seconds(10.0), reclaim=(), amount=Percent(5.0), swapping=AfterKill.HOLD
    ),
    rules=(),
    hooks=(),
    enclosures=(),
    record="/run/oomguard/record",
    listen=Address(host="127.0.0.1", port=9797),
)


def load(path: str | os.PathLike[str] | None) -> Config:
    """The configuration at `path` and in `conf.d/*.toml` beside it, in the order of their names.

    None: `DEFAULT_PATH`, and all defaults where there is none. A later file's values replace those of an
    earlier one; its rules follow. Raises `ConfigErrors`, with all that is missing, unreadable, unknown or
    out of range; nothing is half read.
    """
    documents, problems = read(path)
    return build(documents, problems)


def read(path: str | os.PathLike[str] | None) -> tuple[list[Document], list[ConfigError]]:
    """The files that `load` builds a configuration from, and why others could not be read."""
    main = os.fspath(path or DEFAULT_PATH)
    files = [main] if path or os.path.lexists(main) else []
    return find(files, os.path.join(os.path.dirname(main), "conf.d"))


def build(documents: list[Document], problems: list[ConfigError]) -> Config:
    """The configuration that `documents` come to; raises `ConfigErrors` for theirs and for `problems`."""
    settings, lists, misplaced = tables_of(documents)
    rules = list(map(_rule, lists[RULE]))
    hooks = list(map(parse_hook, lists[HOOK]))
    mode = settings.take("mode", word(Mode), DEFAULTS.mode)
    limits = sections.limits(settings, DEFAULTS.limits)
    enclosures = entries(lists[CGROUP], limits.stall_window)
    for kind, tables in lists.items():
        refuse_duplicates(kind, tables)
    _refuse_excess(RULE, lists[RULE], MOST_RULES)
    _refuse_excess(HOOK, lists[HOOK], MOST_HOOKS)
    config = Config(
        mode=mode,
        limits=limits,
        policy=settings.take("victim.policy", word(Policy), DEFAULTS.policy),
        scope=settings.take("victim.scope", word(Scope), DEFAULTS.scope),
        grace=settings.take("victim.grace", parse_duration, DEFAULTS.grace),
        storm=sections.storm(settings, DEFAULTS.storm),
        sources=sections.sources(settings, DEFAULTS.sources),
        relief=sections.relief(settings, DEFAULTS.relief),
        rules=tuple(filter(None, rules)),
        hooks=tuple(filter(None, hooks)),
        enclosures=enclosures,
        record=settings.take("record.path", _absolute, DEFAULTS.record),
        listen=settings.take("metrics.listen", parse_address, DEFAULTS.listen),
    )
    settings.close()
    problems += misplaced
    problems += [problem for table in (settings, *chain(*lists.values())) for problem in table.problems]
    if problems:
        raise ConfigErrors(tuple(problems))
    return config


def record_path(path: str | os.PathLike[str] | None) -> str:
    """[record] path alone, whatever else is wrong: a refused configuration is when people ask the guard."""
    return _leniently(path).take("record.path", _absolute, DEFAULTS.record)


def listen_address(path: str | os.PathLike[str] | None) -> Address:
    """[metrics] listen alone, whatever else is wrong: metrics are where a refused configuration shows."""
    return _leniently(path).take("metrics.listen", parse_address, DEFAULTS.listen)


def _leniently(path: str | os.PathLike[str] | None) -> Table:
    documents, _ = read(path)
    settings, _, _ = tables_of(documents)
    return settings


def parse_address(text: str) -> Address:
    """An address such as "127.0.0.1:9797" or "[::1]:9797"; port 0 is any free one. ValueError for others."""
    host, _, port = text.rpartition(":")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
        is_host = ":" in host and _IPV6.issuperset(host)
    else:
        is_host = host != "" and _HOST.issuperset(host)
    if not (is_host and 0 < len(port) <= 5 and DIGITS.issuperset(port) and int(port) <= 65535):
        example = '"127.0.0.1:9797" or "[::1]:9797"'
        raise ValueError(f"{quoted(text)} is not an address and a port such as {example}")
    return Address(host=host, port=int(port))


def _absolute(text: str) -> str:
    if not text.startswith("/") or "\0" in text:
        raise ValueError(f"{quoted(text)} is not an absolute path")
    return text


def _rule(table: Table) -> Rule | None:
    """The rule, or None where the table has problems."""
    name = table.take("name", take_name, None)
    effect = table.take("effect", word(Effect), None)
    points = table.take_integer("points")
    scope = table.take("scope", word(Scope), None)
    signal = table.take("signal", word(Signal), None)
    patterns = tuple(filter(None, (table.take(field, partial(pattern, field), None) for field in Field)))
    table.close()
    for key in ("name", "effect"):
        if not table.has(key):
            table.refuse("is missing", key)
    if not any(map(table.has, Field)):
        table.refuse(f"says nothing to match: give at least one of {', '.join(Field)}", "name")
    if effect is Effect.ADJUST and not table.has("points"):
        table.refuse('"adjust" needs points: how far to move the badness, such as points = -300', "effect")
    if effect not in {Effect.ADJUST, None} and table.has("points"):
        table.refuse(f'are only for effect = "adjust", not "{effect}"', "points")
    if points is not None and (points == 0 or not -1000 <= points <= 1000):
        table.refuse(f"are {points}; they must be from -1000 to 1000, and not 0", "points")
    _refuse_signal(table, effect)
    if table.problems or name is None or effect is None:
        return None
    return Rule(name=name, patterns=patterns, effect=effect, points=points or 0, scope=scope, signal=signal)


def _refuse_signal(table: Table, effect: Effect | None) -> None:
    """Where it is not just what the effect wants."""
    if effect is Effect.SIGNAL and not table.has("signal"):
        table.refuse('"signal" needs one to send, such as signal = "SIGUSR1"', "effect")
    if effect not in {Effect.SIGNAL, None} and table.has("signal"):
        table.refuse(f'is only for effect = "signal", not "{effect}"', "signal")
    if effect is Effect.SIGNAL and table.has("scope"):
        table.refuse('is what dies with a victim, and effect = "signal" makes none', "scope")


def _refuse_excess(kind: str, tables: list[Table], most: int) -> None:
    for table in tables[most:]:
        table.refuse(f"is one {kind} too many: at most {most} may be", "name")

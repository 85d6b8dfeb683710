"""`oomguard check`: is the configuration valid, what is risky in it, and what does it come to?"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import TextIO

from oomguard.config import Config, load
from oomguard.enclosure import Entry
from oomguard.errors import ConfigErrors
from oomguard.hook import Hook
from oomguard.meminfo import Memory
from oomguard.names import quoted
from oomguard.pressure import Limit
from oomguard.registry import COMM_LENGTH
from oomguard.rules import Effect, Field, Pattern, Rule, is_expression, protects
from oomguard.units import Bytes, resolve, spell_amount, spell_duration

_SPOOFABLE = {Field.COMM, Field.CMDLINE}
_SLOW = {Field.USER, Field.CMDLINE}
_MAGIC = frozenset("*?[")


def check(path: Path | None, memory: Memory, out: TextIO, err: TextIO) -> int:
    """Say on `out` that the configuration is right, or on `err` what is wrong; findings go to `err` too.

    The exit code: 0 where it would be loaded, findings or not; 1 where it would be refused.
    """
    config = _examined(path, memory, err)
    if config is None:
        return 1
    out.write(f"the configuration is valid: mode {config.mode}, rules: {len(config.rules)}\n")
    return 0


def show(path: Path | None, memory: Memory, out: TextIO, err: TextIO) -> int:
    """The same, but put the whole configuration, defaults included, on `out` as TOML."""
    config = _examined(path, memory, err)
    if config is None:
        return 1
    out.write(to_toml(config))
    return 0


def findings(config: Config, memory: Memory) -> tuple[str, ...]:
    """What is allowed, and probably not meant; a line each."""
    limits = config.limits
    return (
        *_limit_findings("limits.available", limits.available, memory.total),
        *(
            _limit_findings("limits.swap_free", limits.swap_free, memory.swap_total)
            if memory.swap_total
            else ()
        ),
        *(
            f"relief.reclaim: {quoted(each.text)} {problem}"
            for each in config.relief.reclaim
            if (problem := _doubt(each)) is not None
        ),
        *(line for rule in config.rules for line in _rule_findings(rule)),
        *(line for hook in config.hooks for line in _hook_findings(hook)),
    )


def to_toml(config: Config) -> str:
    """`config` as TOML that loads to an equal one."""
    limits = config.limits
    lines = [
        f"mode = {_string(config.mode)}",
        "\n[limits.available]",
        *_limit_lines(limits.available),
        "\n[limits.swap_free]",
        *_limit_lines(limits.swap_free),
        "\n[stall]",
        f"budget = {_string(spell_duration(limits.stall_budget))}",
        f"window = {_string(spell_duration(limits.stall_window))}",
        f"of = {_string(limits.stall_of)}",
        "\n[commit]",
        f"term = {_string(spell_amount(limits.commit))}",
        "\n[victim]",
        f"policy = {_string(config.policy)}",
        f"scope = {_string(config.scope)}",
        f"grace = {_string(spell_duration(config.grace))}",
        "\n[storm]",
        f"kills = {config.storm.kills}",
        f"within = {_string(spell_duration(config.storm.within))}",
        f"action = {_string(config.storm.action)}",
        "\n[sources]",
        f"process_events = {_string(config.sources.process_events)}",
        f"delays = {_string(config.sources.delays)}",
        "\n[relief]",
        f"culprit = {_string(config.relief.culprit)}",
        f"for = {_string(spell_duration(config.relief.lasts))}",
        f"reclaim = [{', '.join(_string(each.text) for each in config.relief.reclaim)}]",
        f"amount = {_string(spell_amount(config.relief.amount))}",
        f"after_kill = {_string(config.relief.swapping)}",
        "\n[record]",
        f"path = {_string(str(config.record))}",
        "\n[metrics]",
        f"listen = {_string(str(config.listen))}",
        *(line for rule in config.rules for line in _rule_lines(rule)),
        *(line for hook in config.hooks for line in _hook_lines(hook)),
        *(line for entry in config.enclosures for line in _cgroup_lines(entry)),
    ]
    return "\n".join(lines) + "\n"


def _examined(path: Path | None, memory: Memory, err: TextIO) -> Config | None:
    try:
        config = load(path)
    except ConfigErrors as error:
        err.write(f"{error}\n")
        return None
    err.writelines(f"warning: {finding}\n" for finding in findings(config, memory))
    return config


def _limit_findings(key: str, limit: Limit, total: Bytes) -> Iterator[str]:
    term, kill = resolve(limit.term, total), resolve(limit.kill, total)
    if term > total:
        size = spell_amount(limit.term)
        yield f"{key}.term: {size} is more than this host has ({spell_amount(total)}): it is always crossed"
    if term == 0:
        yield f"{key}.term: 0 is never crossed, so that memory never counts as low"
    if kill > term:
        yield f"{key}.kill: it is above term here ({kill} > {term} bytes): nobody is asked to end first"


def _rule_findings(rule: Rule) -> Iterator[str]:
    if _SPOOFABLE.issuperset(pattern.field for pattern in rule.patterns):
        gain = "be spared" if protects(rule) else "avoid it"
        risk = f"it rests on comm or cmdline alone, which any process can set to {gain}"
        yield f"rule {quoted(rule.name)}: {risk}; add exe, unit, cgroup or user"
    elif protects(rule) and all(is_expression(each) or each.field in _SLOW for each in rule.patterns):
        cost = "while memory is short it spares everybody who has just started, as its names take time"
        yield f"rule {quoted(rule.name)}: {cost}; add a glob for exe, unit or cgroup"
    for pattern in rule.patterns:
        problem = _doubt(pattern)
        if problem is not None:
            yield f"rule {quoted(rule.name)} {pattern.field}: {quoted(pattern.text)} {problem}"


def _hook_findings(hook: Hook) -> Iterator[str]:
    program = hook.command[0]
    where = f"hook {quoted(hook.name)} command: {quoted(program)}"
    try:
        found = os.stat(program)
    except OSError as error:
        yield f"{where} cannot be run: {error.strerror}"
        return
    if not stat.S_ISREG(found.st_mode) or not os.access(program, os.X_OK):
        yield f"{where} is not a program that can be run"
    if hook.user is None and (found.st_uid != 0 or found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)):
        yield f"{where} would run as root, and not only root can write it; set user, or mend its permissions"


def _doubt(pattern: Pattern) -> str | None:
    """Why `pattern` can hardly match anything."""
    text = pattern.text
    if is_expression(pattern):
        return None
    if text.startswith("^") or text.endswith("$") or ".*" in text:
        return f'looks like a regular expression, and is a glob: write "re:{text}"'
    if "{" in text and "," in text:
        return 'has braces, which a glob does not know: write "re:...(one|other)"'
    return _mismatch(pattern.field, text)


def _mismatch(field: Field, glob: str) -> str | None:
    """Why no value of `field` can look like `glob`."""
    match field:
        case Field.EXE | Field.CGROUP if glob[0] not in "/*?[":
            return "never matches: it is compared with a whole path, which begins with /"
        case Field.UNIT if not glob.endswith((".service", ".scope", "*", "?", "]")):
            return "never matches: the name of a unit ends in .service or .scope"
        case Field.COMM if len(glob) > COMM_LENGTH and not _MAGIC.intersection(glob):
            return f"never matches: comm is cut to {COMM_LENGTH} bytes"
        case _:
            return None


def _limit_lines(limit: Limit) -> tuple[str, str]:
    return f"term = {_string(spell_amount(limit.term))}", f"kill = {_string(spell_amount(limit.kill))}"


def _rule_lines(rule: Rule) -> Iterator[str]:
    yield "\n[[rule]]"
    yield f"name = {_string(rule.name)}"
    for pattern in rule.patterns:
        yield f"{pattern.field} = {_string(pattern.text)}"
    yield f"effect = {_string(rule.effect)}"
    if rule.effect is Effect.ADJUST:
        yield f"points = {rule.points}"
    if rule.signal is not None:
        yield f"signal = {_string(rule.signal)}"
    if rule.scope is not None:
        yield f"scope = {_string(rule.scope)}"


def _hook_lines(hook: Hook) -> Iterator[str]:
    yield "\n[[hook]]"
    yield f"name = {_string(hook.name)}"
    yield f"command = [{', '.join(map(_string, hook.command))}]"
    yield f"on = [{', '.join(map(_string, hook.on))}]"
    yield f"timeout = {_string(spell_duration(hook.timeout))}"
    if hook.user is not None:
        yield f"user = {_string(hook.user)}"


def _cgroup_lines(entry: Entry) -> Iterator[str]:
    yield "\n[[cgroup]]"
    yield f"name = {_string(entry.name)}"
    yield f"path = {_string(entry.path)}"
    yield f"term = {_string(spell_amount(entry.term))}"
    yield f"kill = {_string(spell_amount(entry.kill))}"
    if entry.budget is not None:
        yield f"budget = {_string(spell_duration(entry.budget))}"


def _string(text: str) -> str:
    """A TOML basic string that is harmless on a terminal."""
    return '"' + "".join(map(_escaped, text)) + '"'


def _escaped(char: str) -> str:
    return char if char.isprintable() and char not in '"\\' else f"\\U{ord(char):08X}"

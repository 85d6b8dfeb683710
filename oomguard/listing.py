"""What `oomguard rank` shows, as text: tables for people, JSON documents for programs. Pure."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator

from oomguard.rank import Entry, Explanation, View
from oomguard.wording import size

HEADER = ("PID", "COMM", "RSS", "SWAP", "GROWTH", "BADNESS", "OOM_SCORE", "KERNEL'S", "EFFECT", "RULES")
NAMES = frozenset(("COMM", "EFFECT", "RULES", "WHY", "TERM"))
"""The columns that hold words: they stand left, and numbers right."""


def as_json(shown: View) -> str:
    """`shown` as one JSON document: sizes in bytes, badness in pages, each comm made printable."""
    document = {
        "policy": shown.policy,
        "candidates": [_object(entry) for entry in shown.candidates],
        "spared": [_object(one.entry) | {"why": one.why} for one in shown.spared],
    }
    return json.dumps(document, indent=2)


def _object(entry: Entry) -> dict[str, object]:
    return {
        "pid": entry.pid,
        "starttime": entry.starttime,
        "comm": entry.comm,
        "rss_bytes": entry.rss,
        "swap_bytes": entry.swap,
        "growth_bytes": entry.growth,
        "badness": entry.points,
        "oom_score_computed": entry.oom_score_computed,
        "oom_score_kernel": entry.oom_score_kernel,
        "effect": entry.effect,
        "rules": entry.rules,
    }


def explanation_as_json(explained: Explanation) -> str:
    """`explained` as one JSON document: the process as in `as_json`, and the badness after each term."""
    document = {
        "policy": explained.policy,
        **_object(explained.entry),
        "why": explained.why,
        "terms": [{"term": step.term, "badness": step.points} for step in explained.steps],
    }
    return json.dumps(document, indent=2)


def as_table(shown: View) -> str:
    """`shown` for people: who would die, who is spared, and how many of those hold no memory."""
    if shown.candidates:
        first = f"Under the policy {shown.policy} they would die in this order:"
        lines = [first, "", *_aligned([HEADER, *(_row(entry) for entry in shown.candidates)])]
    else:
        lines = ["Nobody would die: everybody is spared."]
    holding = [one for one in shown.spared if one.entry.rss or one.entry.swap]
    if holding:
        rows = [(*_row(one.entry), one.why) for one in holding]
        lines += ["", "Spared:", "", *_aligned([(*HEADER, "WHY"), *rows])]
    rest = Counter(one.why for one in shown.spared if one not in holding)
    if rest:
        reasons = ", ".join(f"{why} {number}" for why, number in sorted(rest.items()))
        lines += ["", f"Spared, and without memory to free: {reasons}."]
    return "\n".join(lines)


def _row(entry: Entry) -> tuple[str, ...]:
    return (
        str(entry.pid),
        entry.comm,
        size(entry.rss),
        size(entry.swap),
        "-" if entry.growth is None else size(entry.growth),
        str(entry.points),
        str(entry.oom_score_computed),
        "-" if entry.oom_score_kernel is None else str(entry.oom_score_kernel),
        entry.effect,
        ", ".join(entry.rules) or "-",
    )


def _aligned(rows: list[tuple[str, ...]]) -> Iterator[str]:
    """`rows`, a header first, as lines of columns."""
    header = rows[0]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows:
        cells = (
            cell.ljust(width) if title in NAMES else cell.rjust(width)
            for title, cell, width in zip(header, row, widths, strict=True)
        )
        yield "  ".join(cells).rstrip()


def explanation_as_table(explained: Explanation) -> str:
    """`explained` for people: what each term changes, and the badness after it."""
    entry = explained.entry
    fate = f"spared ({explained.why})" if explained.why else "a candidate"
    rules = f", by the rules {', '.join(entry.rules)}" if entry.rules else ""
    kernels = "gone" if entry.oom_score_kernel is None else entry.oom_score_kernel
    lines = [
        f'"{entry.comm}" (pid {entry.pid}) is {fate}; effect {entry.effect}{rules}.',
        f"oom_score: {entry.oom_score_computed} computed, {kernels} in the kernel's own reckoning.",
    ]
    if not explained.steps:
        return "\n".join((*lines, "It has no memory of its own, so its badness is 0."))
    before = (0, *(step.points for step in explained.steps))
    rows = [
        (step.term.value, f"{step.points - points:+d}", str(step.points))
        for step, points in zip(explained.steps, before, strict=False)
    ]
    table = _aligned([("TERM", "CHANGE", "BADNESS"), *rows])
    return "\n".join((*lines, "", f"Badness under the policy {explained.policy}, in pages:", "", *table))

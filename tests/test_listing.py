from __future__ import annotations

import json
from dataclasses import replace

import pytest

from oomguard.badness import Policy, Step, Term
from oomguard.listing import as_json, as_table, explanation_as_json, explanation_as_table
from oomguard.rank import Entry, Explanation, SparedEntry, View
from oomguard.ranking import Spared
from oomguard.rules import Standing
from oomguard.units import Bytes, Pid, Points, Ticks

HOG = Entry(
    pid=Pid(4242),
    starttime=Ticks(77),
    comm='h\\"og',
    rss=Bytes(300 << 20),
    swap=Bytes(5 << 20),
    growth=None,
    points=Points(78_080),
    oom_score_computed=864,
    oom_score_kernel=865,
    effect=Standing.PREFERRED,
    rules=("first", "second"),
)
IDLER = Entry(
    pid=Pid(5),
    starttime=Ticks(8),
    comm="idler",
    rss=Bytes(700 << 10),
    swap=Bytes(0),
    growth=Bytes(3 << 20),
    points=Points(-175),
    oom_score_computed=666,
    oom_score_kernel=None,
    effect=Standing.ORDINARY,
    rules=(),
)
EMPTY = replace(
    IDLER, pid=Pid(2), comm="kthreadd", rss=Bytes(0), growth=None, points=Points(0), oom_score_computed=0
)
VIEW = View(
    policy=Policy.KERNEL,
    candidates=(HOG, IDLER),
    spared=(
        SparedEntry(replace(HOG, pid=Pid(1)), Spared.INIT),
        SparedEntry(EMPTY, Spared.KERNEL_THREAD),
        SparedEntry(replace(EMPTY, pid=Pid(3)), Spared.KERNEL_THREAD),
        SparedEntry(replace(EMPTY, pid=Pid(9)), Spared.NO_MEMORY),
    ),
)
EXPLANATION = Explanation(
    policy=Policy.KERNEL,
    entry=HOG,
    why=None,
    steps=(
        Step(Term.RSS_ANON, Points(1000)),
        Step(Term.OOM_SCORE_ADJ, Points(-500)),
        Step(Term.RULES, Points(-400)),
    ),
)


def test_the_table_shows_who_dies_and_who_is_spared() -> None:
    assert as_table(VIEW).splitlines() == [
        "Under the policy kernel they would die in this order:",
        "",
        " PID  COMM       RSS   SWAP  GROWTH  BADNESS  OOM_SCORE  KERNEL'S  EFFECT  RULES",
        '4242  h\\"og  300 MiB  5 MiB       -    78080        864       865  prefer  first, second',
        "   5  idler  700 KiB  0 KiB   3 MiB     -175        666         -  none    -",
        "",
        "Spared:",
        "",
        "PID  COMM       RSS   SWAP  GROWTH  BADNESS  OOM_SCORE  KERNEL'S  EFFECT  RULES          WHY",
        '  1  h\\"og  300 MiB  5 MiB       -    78080        864       865  prefer  first, second  init',
        "",
        "Spared, and without memory to free: kernel_thread 2, no_memory 1.",
    ]


def test_the_table_without_anybody_to_kill() -> None:
    nobody = View(policy=Policy.KERNEL, candidates=(), spared=VIEW.spared[1:2])
    assert as_table(nobody).splitlines() == [
        "Nobody would die: everybody is spared.",
        "",
        "Spared, and without memory to free: kernel_thread 1.",
    ]


def test_the_table_shows_whoever_is_spared_with_all_of_its_memory_in_swap() -> None:
    swapped = SparedEntry(replace(EMPTY, swap=Bytes(1 << 20)), Spared.RULE)
    only = replace(VIEW, spared=(swapped,))
    assert as_table(only).splitlines()[-1] == (
        "  2  kthreadd  0 KiB  1 MiB       -        0          0         -  none    -      rule"
    )


def test_the_document_has_the_promised_keys() -> None:
    document = json.loads(as_json(VIEW))
    hog = {
        "pid": 4242,
        "starttime": 77,
        "comm": 'h\\"og',
        "rss_bytes": 314_572_800,
        "swap_bytes": 5_242_880,
        "growth_bytes": None,
        "badness": 78_080,
        "oom_score_computed": 864,
        "oom_score_kernel": 865,
        "effect": "prefer",
        "rules": ["first", "second"],
    }
    assert list(document) == ["policy", "candidates", "spared"]
    assert document["policy"] == "kernel"
    assert document["candidates"][0] == hog
    assert document["candidates"][1]["oom_score_kernel"] is None
    assert document["candidates"][1]["growth_bytes"] == 3_145_728
    assert document["spared"][0] == hog | {"pid": 1, "why": "init"}
    assert [one["pid"] for one in document["spared"]] == [1, 2, 3, 9]


def test_an_explanation_shows_what_each_term_changes() -> None:
    assert explanation_as_table(EXPLANATION).splitlines() == [
        '"h\\"og" (pid 4242) is a candidate; effect prefer, by the rules first, second.',
        "oom_score: 864 computed, 865 in the kernel's own reckoning.",
        "",
        "Badness under the policy kernel, in pages:",
        "",
        "TERM           CHANGE  BADNESS",
        "rss_anon        +1000     1000",
        "oom_score_adj   -1500     -500",
        "rules            +100     -400",
    ]


@pytest.mark.parametrize(
    ("explained", "lines"),
    [
        pytest.param(
            Explanation(policy=Policy.CLASSIC, entry=EMPTY, why=Spared.KERNEL_THREAD, steps=()),
            [
                '"kthreadd" (pid 2) is spared (kernel_thread); effect none.',
                "oom_score: 0 computed, gone in the kernel's own reckoning.",
                "It has no memory of its own, so its badness is 0.",
            ],
            id="without memory",
        ),
    ],
)
def test_an_explanation_without_terms(explained: Explanation, lines: list[str]) -> None:
    assert explanation_as_table(explained).splitlines() == lines


def test_the_document_of_an_explanation() -> None:
    document = json.loads(explanation_as_json(EXPLANATION))
    assert document["policy"] == "kernel"
    assert document["pid"] == 4242
    assert document["why"] is None
    assert document["terms"] == [
        {"term": "rss_anon", "badness": 1000},
        {"term": "oom_score_adj", "badness": -500},
        {"term": "rules", "badness": -400},
    ]

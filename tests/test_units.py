from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.units import (
    MIB,
    Amount,
    Bytes,
    Percent,
    Seconds,
    parse_amount,
    parse_duration,
    parse_percent,
    resolve,
    spell_amount,
    spell_duration,
)


@pytest.mark.parametrize(
    ("text", "amount"),
    [
        ("10%", Percent(10.0)),
        ("2.5 %", Percent(2.5)),
        ("0%", Percent(0.0)),
        ("100%", Percent(100.0)),
        ("300MiB", Bytes(300 * MIB)),
        ("300 MiB", Bytes(300 * MIB)),
        ("1.5GiB", Bytes(1536 * MIB)),
        ("2TiB", Bytes(2 << 40)),
        ("512KiB", Bytes(512 * 1024)),
        ("0B", Bytes(0)),
        ("4096B", Bytes(4096)),
    ],
)
def test_amounts(text: str, amount: Amount) -> None:
    assert parse_amount(text) == amount


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("10s", 10.0),
        ("500ms", 0.5),
        ("1.5 s", 1.5),
        ("2min", 120.0),
        ("1h", 3600.0),
        ("0s", 0.0),
        ("7ms", 0.007),
    ],
)
def test_durations(text: str, seconds: float) -> None:
    assert parse_duration(text) == Seconds(seconds)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("", "is not a size"),
        ("much", "is not a size"),
        ("nan%", "is not a size"),
        ("inf", "is not a size"),
        ("1e3MiB", "is not a size"),
        ("10  %", "is not a size"),
        (" 10%", "is not a size"),
        ("10%\n", "is not a size"),
        ("\u0661\u0660%", "is not a size"),
        ("10", "has no unit"),
        ("-10%", "is negative"),
        ("-1MiB", "is negative"),
        ("10s", "known units are B, KiB, MiB, GiB, TiB, %"),
        ("300MB", "known units are"),
        ("300mib", "known units are"),
        ("101%", "is more than 100%"),
        ("9" * 400 + "MiB", "is too large"),
        ("9" * 305 + "MiB", "is too large"),
    ],
)
def test_what_is_not_an_amount(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_amount(text)


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("10 %", "known units are ms, s, min, h"),
        ("10MiB", "known units are ms, s, min, h"),
        ("10", "has no unit"),
        ("-1s", "is negative"),
        ("nan", "is not a duration"),
    ],
)
def test_what_is_not_a_duration(text: str, problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        parse_duration(text)


def test_a_percentage_is_not_a_size() -> None:
    with pytest.raises(ValueError, match=r'"300MiB" is not a percentage such as "10%"'):
        parse_percent("300MiB")


@pytest.mark.parametrize("parse", [parse_amount, parse_percent, parse_duration])
def test_a_problem_is_told_in_one_printable_line(parse: object) -> None:
    assert callable(parse)
    with pytest.raises(ValueError, match="is not") as caught:
        parse("\x1b[2J\n" * 100)
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 600


@pytest.mark.parametrize(
    ("amount", "text"),
    [
        (Percent(10.0), "10%"),
        (Percent(2.5), "2.5%"),
        (Percent(1e-9), "0.000000001%"),
        (Bytes(0), "0B"),
        (Bytes(300 * MIB), "300MiB"),
        (Bytes(1536 * MIB), "1536MiB"),
        (Bytes(2048 * MIB), "2GiB"),
        (Bytes(1000), "1000B"),
    ],
)
def test_amounts_are_spelt_as_people_write_them(amount: Amount, text: str) -> None:
    assert spell_amount(amount) == text


MEASURES = st.from_regex(r"[0-9]{1,13}(\.[0-9]{1,15})?", fullmatch=True)


@given(MEASURES, st.sampled_from(["B", "KiB", "MiB", "GiB", "TiB"]))
def test_a_size_that_is_spelt_is_read_back_the_same(number: str, unit: str) -> None:
    size = parse_amount(number + unit)
    assert parse_amount(spell_amount(size)) == size


@given(st.from_regex(r"[0-9]{1,2}(\.[0-9]{1,15})?", fullmatch=True))
def test_a_percentage_that_is_spelt_is_read_back_the_same(number: str) -> None:
    percent = parse_percent(number + "%")
    assert parse_percent(spell_amount(percent)) == percent


@given(st.from_regex(r"[0-9]{1,6}(\.[0-9]{1,15})?", fullmatch=True), st.sampled_from(["ms", "s", "min", "h"]))
def test_a_duration_that_is_spelt_is_read_back_the_same(number: str, unit: str) -> None:
    duration = parse_duration(number + unit)
    assert parse_duration(spell_duration(duration)) == duration


@pytest.mark.parametrize(
    ("amount", "resolved"), [(Percent(10.0), 102), (Percent(100.0), 1024), (Bytes(7), 7), (Bytes(4096), 4096)]
)
def test_a_share_is_resolved_and_rounded_down(amount: Amount, resolved: int) -> None:
    assert resolve(amount, Bytes(1024)) == resolved

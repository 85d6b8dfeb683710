import pytest
from hypothesis import given
from hypothesis import strategies as st

from oomguard.errors import Malformed
from oomguard.psi import Pressure, parse_pressure
from oomguard.units import Seconds

SOME = b"some avg10=12.50 avg60=0.12 avg300=0.05 total=4181955\n"
FULL = b"full avg10=9.00 avg60=0.10 avg300=0.04 total=3142011\n"


def test_totals_in_seconds() -> None:
    assert parse_pressure(SOME + FULL) == Pressure(some=Seconds(4.181955), full=Seconds(3.142011))


@pytest.mark.parametrize(
    "data",
    [b"", SOME, FULL, SOME + FULL[:-1], (SOME + FULL)[:-4], FULL + SOME, SOME.replace(b"total=", b"") + FULL],
)
def test_malformed(data: bytes) -> None:
    with pytest.raises(Malformed):
        parse_pressure(data)


@given(st.integers(0, 2**64 - 1), st.integers(0, 2**64 - 1))
def test_any_totals(some: int, full: int) -> None:
    pressure = parse_pressure(b"some avg10=0.00 total=%d\nfull avg10=0.00 total=%d\n" % (some, full))
    assert (pressure.some, pressure.full) == (some / 1_000_000, full / 1_000_000)

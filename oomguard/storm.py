"""Restart storms: whoever is ended comes back, and is ended again. Pure.

A service with Restart=always that eats memory is killed, starts again and eats again, for ever: its own
StartLimitBurst= is about starts within seconds, and it eats for minutes.
"""

from __future__ import annotations

from collections import deque
from enum import StrEnum

from oomguard.frozen import frozen, positional
from oomguard.names import DIGITS, LETTERS
from oomguard.process import Key
from oomguard.ranking import EXPORTER_UNIT, Judged, Ranking, SparedProcess, is_gone
from oomguard.units import Pid, Seconds, Uid

REMEMBERED = 64
"""The latest deaths, of all origins together; earlier ones are forgotten."""

GUARD_UNIT = "oomguard.service"
UNTOUCHABLE = frozenset((GUARD_UNIT, EXPORTER_UNIT, "init.scope"))
"""Units that are never stopped, whoever is in them."""

_STOPPABLE = frozenset(("service", "scope"))
_NAME = LETTERS | DIGITS | frozenset(":_.\\@-")
_LONGEST_NAME = 247
"""The names of systemd.unit(5): no glob of systemctl's, no path; nor is it an option."""


class Response(StrEnum):
    """What is done about a storm."""

    ALERT = "alert"
    STOP_UNIT = "stop-unit"


class Obstacle(StrEnum):
    """Why somebody is left alone whose unit was to be stopped."""

    NO_UNIT = "no_unit"
    """It has none of its own, or one that may not be stopped."""
    PROTECTED = "protected"
    """Somebody in the unit may not die."""


@frozen
class Tolerance:
    """How many deaths of one origin within which time are a storm, and what is done about it."""

    kills: int
    within: Seconds
    action: Response


@frozen
class Origin:
    """What started a victim, and will start the next: its unit, else its control group, else its parent.

    Nothing in it is what the victim says of itself; below a delegated control group the path is its owner's
    choice, who gains by a false one that nobody is told of the storm.
    """

    unit: str | None = None
    cgroup: str | None = None
    uid: Uid | None = None
    """With `parent`, where there is neither a unit nor a control group."""
    parent: Key | None = None
    """None where it has exited before its child."""


@frozen
class Storm:
    """Deaths of one origin, one after the other."""

    origin: Origin
    kills: int
    within: Seconds
    action: Response
    """What is to be done about it: `ALERT` too where there is an obstacle."""
    obstacle: Obstacle | None


@positional
class _Death:
    """A victim, by where it came from."""

    origin: Origin
    at: Seconds
    told: bool
    """It made a storm."""


class Storms:
    """The latest deaths, and whether they are a storm."""

    def __init__(self, tolerance: Tolerance) -> None:
        self._tolerance = tolerance
        self._deaths: deque[_Death] = deque(maxlen=REMEMBERED)

    def note(self, victim: Judged, at: Seconds, found: Ranking) -> Storm | None:
        """`victim` died at `at`, not before the last one; `found`: everybody, as the victim was chosen.

        A storm is told once, and again where it goes on after `Tolerance.within`: each has its own deaths.
        """
        tolerance = self._tolerance
        origin = origin_of(victim, found)
        recent = [
            death for death in self._deaths if death.origin == origin and at - death.at < tolerance.within
        ]
        kills = len(recent) + 1
        is_storm = kills >= tolerance.kills and not any(death.told for death in recent)
        self._deaths.append(_Death(origin, at, is_storm))
        return _storm(origin, kills, tolerance, found.spared) if is_storm else None


def origin_of(victim: Judged, found: Ranking) -> Origin:
    """Where `victim` came from.

    All that a user runs is in the unit of a session or of the user's manager, which start nothing again:
    there the control group counts.
    """
    if victim.unit is not None and not _is_a_users(victim.unit):
        return Origin(unit=victim.unit)
    if victim.cgroup != "/":
        return Origin(cgroup=victim.cgroup)
    return Origin(uid=victim.process.uid, parent=_key_of(victim.process.ppid, found))


def may_be_stopped(unit: str) -> bool:
    """Whether systemctl may be told to stop a unit of this name."""
    name, _, kind = unit.rpartition(".")
    is_named = 0 < len(name) <= _LONGEST_NAME and _NAME.issuperset(name) and name[0] != "-"
    return is_named and kind in _STOPPABLE and unit not in UNTOUCHABLE and not _is_a_users(unit)


def _storm(origin: Origin, kills: int, tolerance: Tolerance, spared: tuple[SparedProcess, ...]) -> Storm:
    obstacle = _obstacle(origin.unit, spared) if tolerance.action is Response.STOP_UNIT else None
    return Storm(
        origin=origin,
        kills=kills,
        within=tolerance.within,
        action=tolerance.action if obstacle is None else Response.ALERT,
        obstacle=obstacle,
    )


def _obstacle(unit: str | None, spared: tuple[SparedProcess, ...]) -> Obstacle | None:
    """What keeps the unit from being stopped; all in it would die, so nobody in it may be spared."""
    if unit is None or not may_be_stopped(unit):
        return Obstacle.NO_UNIT
    if any(one.judged.unit == unit and not is_gone(one) for one in spared):
        return Obstacle.PROTECTED
    return None


def _is_a_users(unit: str) -> bool:
    """Whether logind made the unit for a user (pam_systemd(8), user@.service(5))."""
    return unit.startswith("user@") or (unit.startswith("session-") and unit.endswith(".scope"))


def _key_of(pid: Pid, found: Ranking) -> Key | None:
    return next((one.process.key for one in found.everybody if one.process.key.pid == pid), None)

"""What the system says of a control group as a whole: systemd's preference, and whether it dies as one. Pure.

systemd writes ManagedOOMPreference= of a unit to an extended attribute of its control group, for systemd-oomd
(systemd.resource-control(5)). Only the owner of the folder can write there, so only root's word counts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from enum import StrEnum
from typing import assert_never

from oomguard.cgroup import contains
from oomguard.frozen import frozen, replace
from oomguard.rules import Standing, Verdict


class Preference(StrEnum):
    """ManagedOOMPreference= of a unit, the stronger last."""

    NONE = "none"
    AVOID = "avoid"
    OMIT = "omit"


@frozen
class Marks:
    """What is said of one control group."""

    preference: Preference
    oom_group: bool
    """memory.oom.group: all that is in it or below dies together."""


@frozen
class Allegiance:
    """What that comes to for who is in a group: all the groups above it count too."""

    preference: Preference
    oom_groups: tuple[str, ...]
    """Those that die as one, the outermost first."""


UNMARKED = Marks(preference=Preference.NONE, oom_group=False)
FREE = Allegiance(preference=Preference.NONE, oom_groups=())
"""Of who is in no group that says anything."""

_STRENGTH = list(Preference)


def allegiance(path: str, marks: Callable[[str], Marks]) -> Allegiance:
    """What the marks of the group at `path` and of all above it come to."""
    said = [(group, marks(group)) for group in line(path)]
    strongest = max((each.preference for _, each in said), key=_STRENGTH.index, default=Preference.NONE)
    together = tuple(group for group, each in reversed(said) if each.oom_group)
    return (
        FREE
        if strongest is Preference.NONE and not together
        else Allegiance(preference=strongest, oom_groups=together)
    )


def line(path: str) -> Iterator[str]:
    """The group at `path` and those above it, but for the root."""
    while path.strip("/"):
        yield path
        path = path.rpartition("/")[0]


def heeding(verdict: Verdict, said: Allegiance | None) -> Verdict:
    """`verdict` with the preference, which is named among the rules; None: it could not be read yet."""
    if said is None:
        return replace(verdict, unresolved=True)
    match said.preference:
        case Preference.NONE:
            return verdict
        case Preference.AVOID:
            never = verdict.standing is Standing.NEVER
            standing = Standing.NEVER if never else Standing.LAST
        case Preference.OMIT:
            standing = Standing.NEVER
        case _:
            assert_never(said.preference)
    source = f"ManagedOOMPreference={said.preference}"
    return replace(verdict, standing=standing, rules=(*verdict.rules, source))


def dies_with(oom_groups: tuple[str, ...], within: str) -> str | None:
    """The outermost group at or below `within` that dies as one (`mem_cgroup_get_oom_group()`)."""
    return next((group for group in oom_groups if contains(within, group)), None)

"""Decisions put into words for the record: from plans and episodes to events. Pure."""

from __future__ import annotations

from collections import Counter

from oomguard import badness
from oomguard.badness import Machine, Policy
from oomguard.effect import Effect
from oomguard.episode import Finish, Sent
from oomguard.event import Ended, Holding, Killing, Mode, Person, PhaseChanged, Relieved, Relieving, Storming
from oomguard.holders import Held
from oomguard.orders import Found, Tried
from oomguard.plan import Hold, Kill
from oomguard.pressure import Assessment, Phase
from oomguard.ranking import Candidate, Judged, Ranking, Spared, SparedProcess
from oomguard.remedy import Act, Action, Ending, Reclaim, Restrain, Result, Send, action_of
from oomguard.storm import Storm
from oomguard.units import Bytes, Points, Seconds

BIGGEST = 3
"""How many of the spared, and of those who hold memory, a Hold names."""
BY_NATURE = frozenset((Spared.KERNEL_THREAD, Spared.NO_MEMORY, Spared.INIT))
"""Spared on any host, and so nothing to tell by name."""


def killing(
    kill: Kill, sent: Sent, *, mode: Mode, policy: Policy, machine: Machine, reaction: Seconds
) -> Killing:
    """What to tell of a signal that was sent, or would have been."""
    assessment, choice = kill.assessment, kill.kernel_choice
    return Killing(
        mode=mode,
        reasons=assessment.reasons,
        level=assessment.level,
        policy=policy,
        scope=kill.scope,
        sent=sent,
        victim=person(kill.victim.judged, kill.victim.points, machine),
        members=len(kill.members),
        runners_up=tuple(person(one.judged, one.points, machine) for one in kill.runners_up),
        kernel_choice=None if choice is None else _by_kernel(choice, machine),
        figures=assessment.figures,
        reaction=reaction,
    )


def ended(victim: Person, finish: Finish, mode: Mode) -> Ended:
    """What to tell of the end of an episode."""
    return Ended(mode=mode, outcome=finish.outcome, victim=victim, freed=finish.freed, took=finish.took)


def holding(hold: Hold, machine: Machine, held: Held) -> Holding:
    """What to tell of a limit that is crossed with nobody to die for it, while memory is `held` so."""
    spared = Counter(one.why for one in hold.spared)
    named = (one for one in hold.spared if one.why not in BY_NATURE)
    biggest = sorted(named, key=_held, reverse=True)[:BIGGEST]
    return Holding(
        reasons=hold.assessment.reasons,
        level=hold.assessment.level,
        why=hold.why,
        spared=tuple((why, spared[why]) for why in Spared if spared[why]),
        biggest=tuple(_by_kernel(one.judged, machine) for one in biggest),
        held=held[:BIGGEST],
        figures=hold.assessment.figures,
    )


def storming(storm: Storm, victim: Person, mode: Mode) -> Storming:
    """What to tell of a storm of which `victim` is the latest."""
    origin = storm.origin
    return Storming(
        mode=mode,
        action=storm.action,
        obstacle=storm.obstacle,
        unit=origin.unit,
        cgroup=origin.cgroup,
        parent=None if origin.parent is None else origin.parent.pid,
        comm=victim.comm,
        uid=victim.uid,
        kills=storm.kills,
        within=storm.within,
    )


def phase_changed(
    before: Phase, after: Phase, assessment: Assessment, found: Ranking | None, machine: Machine
) -> PhaseChanged:
    """What to tell of another phase, in which a look has `found` everybody so."""
    likely = None if found is None else _likely(found)
    return PhaseChanged(
        before=before,
        after=after,
        reasons=assessment.reasons,
        likely=None if likely is None else person(likely.judged, likely.points, machine),
        figures=assessment.figures,
    )


def _likely(found: Ranking) -> Candidate | None:
    """Who would die next; nobody is named while one who holds more is spared as its names are unread yet."""
    if not found.candidates:
        return None
    first = found.candidates[0]
    unread = (one.judged for one in found.spared if one.why is Spared.UNRESOLVED)
    is_first = all(one.process.held <= first.judged.process.held for one in unread)
    return first if is_first else None


def asked(act: Act, machine: Machine) -> Person | None:
    """Who gets a signal by `act`."""
    return _by_kernel(act.to, machine) if isinstance(act, Send) else None


def relieving(act: Act, process: Person | None, report: Tried, assessment: Assessment) -> Relieving:
    """What to tell of an act that was tried."""
    return _relieving(act, process, Mode.ENFORCE, report.result, report.amount, assessment)


def swap_held(result: Result, lasts: Seconds, assessment: Assessment) -> Relieving:
    """What to tell of swapping out that was held back on the whole host, or could not be."""
    return Relieving(
        mode=Mode.ENFORCE,
        action=Action.HOLD_SWAP,
        result=result,
        cgroup="/",
        process=None,
        signal=None,
        amount=Bytes(0),
        lasts=lasts,
        figures=assessment.figures,
    )


def would_relieve(act: Act, process: Person | None, assessment: Assessment) -> Relieving:
    """What to tell of an act that a dry run leaves out."""
    amount = act.amount if isinstance(act, Reclaim) else Bytes(0)
    return _relieving(act, process, Mode.DRY_RUN, None, amount, assessment)


def _relieving(
    act: Act,
    process: Person | None,
    mode: Mode,
    result: Result | None,
    amount: Bytes,
    assessment: Assessment,
) -> Relieving:
    return Relieving(
        mode=mode,
        action=action_of(act),
        result=result,
        cgroup=_group(act),
        process=process,
        signal=act.signal if isinstance(act, Send) else None,
        amount=amount,
        lasts=act.lasts if isinstance(act, Restrain) else Seconds(0.0),
        figures=assessment.figures,
    )


def relieved(act: Act, process: Person | None, ending: Ending, effect: Effect) -> Relieved:
    """What to tell of what an act brought."""
    return Relieved(
        action=action_of(act),
        ending=ending,
        cgroup=_group(act),
        process=process,
        gained=effect.gained,
        stalled_before=effect.stalled_before,
        stalled_after=effect.stalled_after,
        took=effect.took,
    )


def left_behind(found: Found) -> Relieved:
    """What to tell of a restraint that outlived its guard."""
    return Relieved(
        action=found.action,
        ending=Ending.LEFT_BEHIND,
        cgroup=found.cgroup,
        process=None,
        gained=Bytes(0),
        stalled_before=0.0,
        stalled_after=0.0,
        took=Seconds(0.0),
    )


def _group(act: Act) -> str | None:
    return None if isinstance(act, Send) else act.cgroup


def person(judged: Judged, points: Points, machine: Machine) -> Person:
    """A process as a decision names it."""
    process, verdict = judged.process, judged.verdict
    rss, swap = (process.memory.rss, process.memory.swap) if process.memory else (0, 0)
    return Person(
        pid=process.key.pid,
        starttime=process.key.starttime,
        comm=process.comm,
        unit=judged.unit,
        uid=process.uid,
        rss=Bytes(rss * machine.page_size),
        swap=Bytes(swap * machine.page_size),
        points=points,
        oom_score_adj=process.oom_score_adj,
        standing=verdict.standing,
        rules=verdict.rules,
    )


def _by_kernel(judged: Judged, machine: Machine) -> Person:
    return person(judged, badness.kernel(judged.process, machine), machine)


def _held(one: SparedProcess) -> tuple[int, int]:
    process = one.judged.process
    held = process.memory.rss + process.memory.swap if process.memory else 0
    return held, process.key.pid

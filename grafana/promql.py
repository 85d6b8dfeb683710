"""The few forms of PromQL that the dashboards are made of."""

from __future__ import annotations


def pick(metric: str, where: str, *more: str) -> str:
    """The series of `metric` that match `where` and `more`."""
    return f"{metric}{{{', '.join((where, *more))}}}"


def total(series: str, *by: str) -> str:
    """The sum of `series`, for each value of the labels `by`."""
    return f"sum by ({', '.join(by)}) ({series})" if by else f"sum({series})"


def pace(counter: str, *by: str) -> str:
    """How fast `counter` grows, a second."""
    return total(f"rate({counter}[$__rate_interval])", *by)


def steps(counter: str, *by: str) -> str:
    """By how much `counter` grew within each step of the graph: each event once, and as a whole number.

    increase() would count it in several steps, as its window has to be longer than one, and estimates.
    """
    return f"clamp_min({total(counter, *by)} - {total(f'{counter} offset $__interval', *by)}, 0)"


def events(counter: str, *by: str) -> str:
    """Something where `counter` grew, and nothing elsewhere: for marks."""
    return f"{total(counter, *by)} - {total(f'{counter} offset $__interval', *by)} > 0"


def within_range(counter: str, *by: str) -> str:
    """By how much `counter` grew within the whole range, estimated."""
    return total(f"increase({counter}[$__range])", *by)


def quantile(share: float, rates: str) -> str:
    """What a `share` of the durations stayed below; `rates` of a histogram's buckets, by `le`."""
    return f"histogram_quantile({share:g}, {rates})"

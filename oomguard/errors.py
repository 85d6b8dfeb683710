"""What can go wrong, in words for the person who has to mend it."""

from __future__ import annotations


class OomguardError(Exception):
    """A problem that a person can act on; its text is one line, without a traceback."""


class ConfigError(OomguardError):
    """A configuration that is refused: names the file, the key and what to do."""

    def __init__(self, file: str, key: str, problem: str) -> None:
        where = f"{file}: {key}" if key else f"{file}"
        super().__init__(f"{where}: {problem}")
        self.file = file
        self.key = key
        self.problem = problem


class ConfigErrors(ConfigError):
    """All that is wrong with a configuration; its text has a line for each."""

    def __init__(self, problems: tuple[ConfigError, ...]) -> None:
        first = problems[0]
        super().__init__(first.file, first.key, first.problem)
        self.problems = problems

    def __str__(self) -> str:
        return "\n".join(map(str, self.problems))


class Gone(Exception):
    """A process or cgroup ended between two reads: ordinary, never an error to report."""


class Malformed(OomguardError):
    """Kernel text that does not parse, named by its path: a truncated read, or a format unknown to us."""


class RecordError(OomguardError):
    """A record file that cannot be opened, trusted or understood."""


def origin(error: Exception) -> str:
    """An unexpected error in one line: what it is, and the line of code that it comes from."""
    at = error.__traceback__
    while at is not None and at.tb_next is not None:
        at = at.tb_next
    where = "" if at is None else f" at {at.tb_frame.f_code.co_filename}:{at.tb_lineno}"
    return f"{type(error).__name__}: {error}{where}"

"""The files of the configuration, read into tables: the main one, and the drop-ins beside it."""

from __future__ import annotations

import os

from oomguard.errors import ConfigError
from oomguard.names import quoted
from oomguard.table import Table

RULE, HOOK, CGROUP = "rule", "hook", "cgroup"
LISTS = (RULE, HOOK, CGROUP)
"""What there may be several of, such as [[rule]]: they add up over the files."""

_LARGEST = 1 << 20


Document = tuple[str, dict[str, object]]
"""A file, and the TOML that it holds."""


def find(files: list[str], folder: str) -> tuple[list[Document], list[ConfigError]]:
    """`files`, then the *.toml of `folder` in the order of their names; and why files could not be read."""
    documents, problems = list[Document](), list[ConfigError]()
    try:
        files = [*files, *_drop_ins(folder)]
    except ConfigError as error:
        problems.append(error)
    for file in files:
        try:
            documents.append((file, _content(file)))
        except ConfigError as error:
            problems.append(error)
    return documents, problems


def tables_of(documents: list[Document]) -> tuple[Table, dict[str, list[Table]], list[ConfigError]]:
    """All settings in one table, the later ones over the earlier; tables for each of `LISTS`; problems."""
    home = documents[0][0] if documents else ""
    settings, problems = Table("", home), list[ConfigError]()
    tables = {name: list[Table]() for name in LISTS}
    for file, content in documents:
        try:
            found = {name: _tables(name, content.get(name, []), file) for name in LISTS}
        except ConfigError as error:
            problems.append(error)
            continue
        for name in LISTS:
            tables[name] += found[name]
        settings.merge({key: value for key, value in content.items() if key not in LISTS}, file)
    return settings, tables, problems


def _drop_ins(folder: str) -> list[str]:
    try:
        # Hidden ones are what editors leave behind.
        names = sorted(name for name in os.listdir(folder) if name.endswith(".toml") and name[0] != ".")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise ConfigError(folder, "", f"cannot be read: {error.strerror}") from error
    return [f"{folder}/{name}" for name in names]


def _content(file: str) -> dict[str, object]:
    try:
        with open(file, "rb") as stream:
            raw = stream.read(_LARGEST + 1)
    except OSError as error:
        raise ConfigError(file, "", f"cannot be read: {error.strerror}") from error
    if len(raw) > _LARGEST:
        raise ConfigError(file, "", f"is larger than {_LARGEST} bytes: that is no configuration")
    # Not at the top: a guard that was handed its configuration (`launch.launch`) needs it at a reload only.
    import tomllib  # noqa: PLC0415

    try:
        return tomllib.loads(raw.decode())
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(file, "", f"is not UTF-8 (at line {line})") from error
    except ValueError as error:
        raise ConfigError(file, "", f"is not valid TOML: {error}") from error
    except RecursionError as error:
        raise ConfigError(file, "", "is not valid TOML: it is nested too deeply") from error


def _tables(kind: str, entries: object, file: str) -> list[Table]:
    if not isinstance(entries, list) or not all(isinstance(entry, dict) for entry in entries):
        raise ConfigError(file, kind, f"must be a list of tables: write [[{kind}]], with two brackets")
    tables = []
    for number, entry in enumerate(entries, start=1):
        name = entry.get("name")
        table = Table(f"{kind} {quoted(name) if isinstance(name, str) else number}", file)
        table.merge(entry, file)
        tables.append(table)
    return tables

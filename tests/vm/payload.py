"""What a run brings into the machine: a tar, put on a disk as it is."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

Tree = Mapping[str, Path | str]
"""What lies where in the guest: a file or folder of the host, or a text (that can be run, if with #!)."""

RUN = "/opt/vm/run"
"""The program that payload.service starts; its output is the result."""


def write(tree: Tree, disk: Path) -> None:
    """Puts `tree` on `disk`. Everything belongs to the guest's root."""
    if RUN not in tree:
        msg = f"a payload without {RUN} has nothing to run"
        raise ValueError(msg)
    with tarfile.open(disk, "w", format=tarfile.GNU_FORMAT) as tar:
        for path, source in tree.items():
            name = path.lstrip("/")
            if isinstance(source, Path):
                tar.add(source, name, filter=_of_root)
            else:
                tar.addfile(_text_file(name, source), io.BytesIO(source.encode()))


def _of_root(member: tarfile.TarInfo) -> tarfile.TarInfo:
    member.uid = member.gid = 0
    member.uname = member.gname = "root"
    return member


def _text_file(name: str, text: str) -> tarfile.TarInfo:
    member = tarfile.TarInfo(name)
    member.size = len(text.encode())
    member.mode = 0o755 if text.startswith("#!") else 0o644
    return _of_root(member)

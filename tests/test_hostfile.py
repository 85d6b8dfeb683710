import os
from pathlib import Path

import pytest

from oomguard.errors import Malformed
from oomguard.fields import parse_int
from oomguard.hostfile import KeptOpen, parsed, read, read_start

LENGTHS = [0, 1, 2047, 2048, 16383, 16384, 16385, 32768, 100_000]


def text(length: int) -> bytes:
    return bytes(i % 251 for i in range(length))


@pytest.mark.parametrize("length", LENGTHS)
def test_reads_the_whole(tmp_path: Path, length: int) -> None:
    file = tmp_path / "file"
    file.write_bytes(text(length))
    assert read(str(file)) == text(length)
    assert read_start(str(file), 20_000) == text(length)[:20_000]
    kept = KeptOpen(str(file), bytes)
    assert kept.read() == text(length)
    assert kept.read() == text(length)
    kept.close()


@pytest.mark.parametrize(
    "name", ["meminfo", "pressure/memory", "vmstat", "zoneinfo", "loadavg", "iomem", "devices"]
)
def test_the_kernels_files_are_read_whole(name: str) -> None:
    path = Path("/proc", name)
    if not path.exists():
        pytest.skip("this kernel has none")
    kept = KeptOpen(str(path), bytes)
    assert kept.read().count(b"\n") == path.read_bytes().count(b"\n")
    kept.close()


def test_what_is_short_is_asked_for_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file, asked, pread = tmp_path / "file", list[int](), os.pread
    file.write_bytes(text(1500))

    def asking(fd: int, length: int, at: int) -> bytes:
        asked.append(at)
        return pread(fd, length, at)

    monkeypatch.setattr(os, "pread", asking)
    kept = KeptOpen(str(file), bytes)
    assert kept.read() == text(1500)
    assert asked == [0]
    kept.close()


def test_reads_below_a_folder(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"x")
    folder = os.open(tmp_path, os.O_RDONLY)
    assert read("file", folder) == b"x"
    os.close(folder)


def test_closes_what_it_reads(tmp_path: Path) -> None:
    before = len(list(Path("/proc/self/fd").iterdir()))
    with pytest.raises(IsADirectoryError):
        read(str(tmp_path))
    with pytest.raises(IsADirectoryError):
        read_start(str(tmp_path), 1)
    assert len(list(Path("/proc/self/fd").iterdir())) == before


def test_kept_open_reads_anew_each_time(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"1")
    kept = KeptOpen(str(file), parse_int)
    assert kept.read() == 1
    file.write_bytes(b"22")
    assert kept.read() == 22
    kept.close()


def test_what_says_the_same_is_parsed_once(tmp_path: Path) -> None:
    file, asked = tmp_path / "file", list[bytes]()

    def parse(text: bytes) -> int:
        asked.append(text)
        return len(asked)

    kept, found = KeptOpen(str(file), parse), []
    for written in (b"1", b"1", b"2", b"1"):
        file.write_bytes(written)
        found.append(kept.read())
    assert (found, asked) == ([1, 1, 2, 3], [b"1", b"2", b"1"])
    kept.close()


def test_what_did_not_parse_is_parsed_again(tmp_path: Path) -> None:
    file = tmp_path / "file"
    kept = KeptOpen(str(file), parse_int)
    for written in (b"1", b"x", b"x"):
        file.write_bytes(written)
        if written == b"x":
            with pytest.raises(Malformed):
                kept.read()
        else:
            assert kept.read() == 1
    kept.close()


def test_kept_open_stays_with_the_file_until_reading_fails(tmp_path: Path) -> None:
    file = tmp_path / "file"
    file.write_bytes(b"1")
    kept = KeptOpen(str(file), parse_int)
    assert kept.read() == 1
    file.rename(tmp_path / "old")
    file.write_bytes(b"2")
    assert kept.read() == 1
    # A descriptor that cannot be read any more: here, of a folder.
    [fd] = [int(fd.name) for fd in Path("/proc/self/fd").iterdir() if fd.resolve() == tmp_path / "old"]
    folder = os.open(tmp_path, os.O_RDONLY)
    os.dup2(folder, fd)
    os.close(folder)
    assert kept.read() == 2
    kept.close()


def test_kept_open_opens_once_there_is_something(tmp_path: Path) -> None:
    kept = KeptOpen(str(tmp_path / "file"), parse_int)
    with pytest.raises(FileNotFoundError):
        kept.read()
    (tmp_path / "file").write_bytes(b"1")
    assert kept.read() == 1
    kept.close()
    kept.close()
    assert kept.read() == 1
    kept.close()


def test_what_does_not_parse_is_named() -> None:
    with pytest.raises(Malformed, match=r"^/proc/1/x: not a number$"):
        parsed("/proc/1/x", parse_int, b"one")

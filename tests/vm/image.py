"""The guest's disk: Debian 12, tools to measure with, and the peers to compare with, switched off."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from tests.vm.cache import cached

HERE = Path(__file__).parent

PACKAGES = (
    "linux-image-cloud-amd64",
    "systemd",
    "systemd-sysv",
    "libpam-systemd",
    "dbus",
    "udev",
    "kmod",
    "python3",
    "iproute2",
    "procps",
    "strace",
    "stress-ng",
    "earlyoom",
    "nohang",
    "systemd-oomd",
)
OFF = ("earlyoom", "nohang", "nohang-desktop", "systemd-oomd")
MASKED = (
    "getty@tty1",
    "serial-getty@ttyS0",
    "apt-daily.timer",
    "apt-daily-upgrade.timer",
    "dpkg-db-backup.timer",
)
CUSTOMIZE = (
    'echo oomguard-vm >"$1/etc/hostname"',
    "copy-in payload.service /etc/systemd/system",
    'chroot "$1" systemctl enable payload.service',
    f'chroot "$1" systemctl disable {" ".join(OFF)}',
    f'chroot "$1" systemctl mask {" ".join(MASKED)}',
)
MMDEBSTRAP = (
    "mmdebstrap",
    "--mode=root",
    "--variant=apt",
    f"--include={','.join(PACKAGES)}",
    '--aptopt=APT::Install-Recommends "false"',
    "--dpkgopt=force-unsafe-io",
    *(f"--dpkgopt=path-exclude=/usr/share/{what}/*" for what in ("doc", "man", "locale")),
    *(f"--customize-hook={hook}" for hook in CUSTOMIZE),
    "bookworm",
)
MKE2FS = ("mke2fs", "-q", "-t", "ext4", "-L", "root")
SIZE = "2G"
NEEDED = ("qemu-system-x86_64", "mmdebstrap", "mke2fs", "mkswap", "gcc", "setpriv")
"""Debian's packages of them: qemu-system-x86, mmdebstrap, e2fsprogs, util-linux, gcc, libc6-dev."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Image:
    """What qemu boots; read only, so that any number of machines can share it."""

    kernel: Path
    initrd: Path
    disk: Path


def missing() -> tuple[str, ...]:
    """The tools that this host lacks for building and booting a machine."""
    return tuple(tool for tool in NEEDED if not shutil.which(tool))


def image() -> Image:
    """The image, built if need be (a minute, 400 MB from the mirror that apt uses). Needs root."""
    inputs = (*MMDEBSTRAP, *MKE2FS, SIZE)
    made = cached("image", (*map(str.encode, inputs), (HERE / "payload.service").read_bytes()), _build)
    return Image(kernel=made / "vmlinuz", initrd=made / "initrd", disk=made / "disk")


def _build(into: Path) -> None:
    root = into / "root"
    subprocess.run((*MMDEBSTRAP, str(root)), check=True, cwd=HERE)
    shutil.copy(root / "vmlinuz", into / "vmlinuz")
    shutil.copy(root / "initrd.img", into / "initrd")
    subprocess.run((*MKE2FS, "-d", str(root), str(into / "disk"), SIZE), check=True)
    shutil.rmtree(root)


def swap_disk(mib: int) -> Path:
    """An empty swap area of `mib` MiB, sparse and read only like the image."""
    return cached(f"swap{mib}", (), lambda into: _make_swap(into / "disk", mib)) / "disk"


def _make_swap(disk: Path, mib: int) -> None:
    with disk.open("wb") as file:
        file.truncate(mib << 20)
    disk.chmod(0o600)
    subprocess.run(("mkswap", "--quiet", str(disk)), check=True)

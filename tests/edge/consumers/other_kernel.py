"""This machine's files under Debian's own kernel, in a virtual machine without acceleration: for modules ours lacks.

QEMU gives the guest our root folder, read only, by 9p; so it runs the same Python, the same programs and the same code.
The kernel is a package that is downloaded, not installed, and kept unpacked in a cache folder. Nothing needs root.
"""

import os
import re
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO, NamedTuple

import pytest

from keystrand.edge.daemons import program

_META = "linux-image-amd64"
"""The package that depends on the newest kernel. That for clouds has no 9p."""
_FIRST = ("virtio_pci", "9pnet_virtio", "9p")
"""The modules that bring the root folder; what they need comes before them."""
_PROGRAMS = ("qemu-system-x86_64", "busybox", "cpio", "depmod", "modprobe", "dpkg-deb", "apt-get")
_PATH = "/usr/local/bin:/usr/bin:/bin:/usr/sbin:/sbin"
_INIT = """#!/bin/busybox sh
b=/bin/busybox
$b mkdir -p /proc /root
$b mount -t proc proc /proc
for m in {modules}; do $b insmod /$m.ko; done
$b mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose root /root
$b mount -t proc proc /root/proc
$b mount -t sysfs sysfs /root/sys
$b mount -t devtmpfs devtmpfs /root/dev
$b mount -t tmpfs tmpfs /root/run
$b chroot /root /bin/sh "$($b sed 's/.*keystrand.run=//' /proc/cmdline)" </root/dev/null
$b echo "keystrand ended with $?"
$b poweroff -f
"""
_LOADER = """#!/bin/busybox sh
b=/bin/busybox
exec $b chroot /root /sbin/modprobe -d "$($b sed 's/.*keystrand.modules=\\([^ ]*\\).*/\\1/' /proc/cmdline)" "$@"
"""
"""What the kernel calls when it lacks a module; it does so in the first root folder."""
_ENDED = re.compile(r"^keystrand ended with (\d+)$", re.MULTILINE)
_DOWNLOAD_S = 300.0


def needs_other_kernel(*more: str) -> pytest.MarkDecorator:
    """Return the mark of a test that runs in such a machine, and needs these programs there."""
    missing = [one for one in (*_PROGRAMS, *more) if not shutil.which(one, path=_PATH)]
    return pytest.mark.skipif(bool(missing), reason=f"needs {', '.join(missing)}")


class OtherKernel(NamedTuple):
    """A kernel, what it starts with, and the folder under which its modules lie."""

    image: Path
    first: Path
    folder: Path

    def run(self, script: str, folder: Path, *, within_s: float) -> str:
        """Return what `script`, of sh(1), said; our files are there, read only but for /run. `folder` is for its file.

        Raises `AssertionError` with the last it said where it failed.
        """
        file = folder / "in-guest.sh"
        file.write_text(f"export PATH={_PATH} TMPDIR=/run\n{script}\n")
        done = subprocess.run(
            [program("setpriv", "util-linux"), "--pdeathsig", "KILL", "--",
             program("qemu-system-x86_64", "qemu-system-x86"), "-nodefaults", "-no-reboot", "-display", "none",
             "-machine", "q35,accel=tcg", "-cpu", "max", "-smp", "2", "-m", "1024", "-serial", "stdio",
             "-kernel", str(self.image), "-initrd", str(self.first),
             "-virtfs", "local,path=/,mount_tag=root,security_model=none,readonly=on,multidevs=remap",
             "-append", f"console=ttyS0 loglevel=1 panic=-1 keystrand.modules={self.folder} keystrand.run={file}"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace", timeout=within_s, check=False,
        )  # fmt: skip
        said = done.stdout.replace("\r", "")
        ended = _ENDED.search(said)
        assert ended, f"the guest did not come to its end: {said[-2000:]}{done.stderr[-500:]}"
        assert ended[1] == "0", said[-4000:]
        return said[: ended.start()]


def other_kernel(cache: Path) -> OtherKernel:
    """Return Debian's kernel from the cache, downloaded where it is not there. Skips the test where that fails."""
    folder = cache / "other-kernel"
    if not folder.is_dir():
        cache.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=cache) as made:
            kernel = Path(made) / "kernel"
            kernel.mkdir()
            _build(kernel)
            kernel.rename(folder)  # whole or not at all
    return OtherKernel(next(folder.glob("boot/vmlinuz-*")), folder / "first.cpio", folder)


def _build(folder: Path) -> None:
    package = _downloaded(folder)
    with subprocess.Popen(["dpkg-deb", "--fsys-tarfile", package], stdout=subprocess.PIPE) as reading:
        assert reading.stdout
        for member in _wanted(reading.stdout):
            member[0].extract(member[1], folder, filter="data")
    package.unlink()
    version = next(folder.glob("boot/vmlinuz-*")).name.removeprefix("vmlinuz-")
    _do("depmod", "-b", str(folder), version)
    _make_first(folder, version)


def _downloaded(folder: Path) -> Path:
    told = _do("apt-cache", "depends", _META)
    names = re.findall(r"Depends: (linux-image-\S+)", told)
    if not names:
        pytest.skip(f"apt knows no {_META}: apt-get update")
    try:
        _do("apt-get", "-q", "download", names[0], cwd=folder)
    except subprocess.SubprocessError as error:
        pytest.skip(f"{names[0]} cannot be downloaded: {error}")
    return next(folder.glob("*.deb"))


def _wanted(stream: IO[bytes]) -> Iterator[tuple[tarfile.TarFile, tarfile.TarInfo]]:
    """Yield the kernel, and its modules but for drivers of hardware that QEMU has not."""
    with tarfile.open(fileobj=stream, mode="r|") as whole:
        for member in whole:
            name = member.name.removeprefix("./")
            if name.startswith("boot/vmlinuz") or (
                name.startswith("lib/modules/")
                and ("/drivers/" not in name or re.search("/drivers/(net/[^/]*$|virtio/)", name))
            ):
                yield whole, member


def _needed(folder: Path, version: str) -> list[Path]:
    """Return the first modules and what they need, each once, in the order in which the kernel takes them."""
    told = "".join(_do("modprobe", "-d", str(folder), "-S", version, "--show-depends", one) for one in _FIRST)
    return list(dict.fromkeys(map(Path, re.findall(r"^insmod (\S+)", told, re.MULTILINE))))


def _make_first(folder: Path, version: str) -> None:
    first = folder / "first"
    (first / "bin").mkdir(parents=True)
    shutil.copy(program("busybox", "busybox-static"), first / "bin/busybox")
    names = []
    for path in _needed(folder, version):
        names.append(path.stem)
        shutil.copy(path, first / path.name)
    (first / "init").write_text(_INIT.format(modules=" ".join(names)))
    (first / "sbin").mkdir()
    (first / "sbin/modprobe").write_text(_LOADER)
    for script in ("init", "sbin/modprobe"):
        (first / script).chmod(0o755)
    listed = "\n".join(str(path.relative_to(first)) for path in sorted(first.rglob("*")))
    with (folder / "first.cpio").open("wb") as archive:
        subprocess.run(
            [program("cpio", "cpio"), "-o", "-H", "newc", "--quiet"],
            cwd=first, input=listed.encode(), stdout=archive, check=True,
        )  # fmt: skip


def _do(*words: str, cwd: Path | None = None) -> str:
    env = {**os.environ, "LC_ALL": "C", "PATH": _PATH}
    done = subprocess.run(words, cwd=cwd, env=env, capture_output=True, text=True, check=True, timeout=_DOWNLOAD_S)
    return done.stdout

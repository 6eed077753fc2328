"""Other processors, emulated: commands that run a Python on them.

QEMU runs a program of Linux for another processor, instruction by instruction. An x86 one without
VNNI runs the Python at hand; 64-bit ARM needs its own, which :func:`arm_python` puts together from
Debian's packages and the wheels of PyPI, without being root and without installing anything.
"""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib.metadata import version
from pathlib import Path

_X86 = ("qemu-x86_64-static", "qemu-x86_64")
_ARM = ("qemu-aarch64-static", "qemu-aarch64")
# Without features that QEMU warns it does not have.
_HASWELL = "Haswell-noTSX,-pcid,-x2apic,-tsc-deadline,-invpcid"

_DEBIAN = (
    *("libc6", "libgcc-s1", "libstdc++6", "libexpat1", "zlib1g", "libffi8", "libssl3"),
    *("libbz2-1.0", "liblzma5", "libuuid1"),
    *("python3.11-minimal", "libpython3.11-minimal", "libpython3.11-stdlib"),
)
_TAGS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")

#: What ONNX Runtime reads of an ARM processor; the emulator would show that of the x86 one.
_CPUINFO = """processor\t: 0
Features\t: {features}
CPU implementer\t: 0x41
CPU architecture: 8
CPU variant\t: {variant}
CPU part\t: {part}
CPU revision\t: 1

"""
_PLAIN = "fp asimd evtstrm aes pmull sha1 sha2 crc32 cpuid"
_DOT_PRODUCTS = (
    "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop "
    "asimddp"
)


@dataclass(frozen=True)
class Processor:
    """A processor to run a Python on.

    Args:
        name: in tables.
        command: that a script and its arguments are appended to.
        environment: added to that of this process.
        cpuinfo: what the file of that name has to say, and where; None: it is not replaced.
    """

    name: str
    command: tuple[str, ...]
    environment: dict[str, str] = field(default_factory=dict)
    cpuinfo: tuple[Path, str] | None = None

    def run(self, arguments: Sequence[str | Path], timeout: float | None = None) -> None:
        """Run a Python script.

        Raises:
            RuntimeError: it fails; the message ends with what it wrote.
            subprocess.TimeoutExpired: it takes longer than ``timeout`` seconds.
        """
        if self.cpuinfo is not None:
            path, text = self.cpuinfo
            path.write_text(text)
        done = subprocess.run(
            [*self.command, *map(str, arguments)],
            env={**os.environ, **self.environment},
            capture_output=True,
            text=True,
            timeout=timeout,
            check=False,
        )
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"exit code {done.returncode}"]
            raise RuntimeError(f"{self.name}: {lines[-1]}")


def native() -> Processor:
    """The processor at hand."""
    return Processor("this processor", (sys.executable,))


def haswell() -> Processor | None:
    """x86 with AVX2 and without VNNI; None without the emulator, or on another processor."""
    emulator = _found(_X86)
    if emulator is None or platform.machine() != "x86_64":
        return None
    return Processor("x86, AVX2", (emulator, "-cpu", _HASWELL, sys.executable))


def arm(folder: Path) -> tuple[Processor, ...]:
    """64-bit ARM without and with instructions for dot products; none without the emulator.

    Args:
        folder: where :func:`arm_python` puts the Python.

    Raises:
        RuntimeError: see :func:`arm_python`.
    """
    emulator = _found(_ARM)
    if emulator is None:
        return ()
    root = arm_python(folder)
    cpuinfo = root / "proc" / "cpuinfo"

    def processor(name: str, cpu: str, features: str, variant: str, part: str) -> Processor:
        python = str(root / "usr" / "bin" / "python3.11")
        text = _CPUINFO.format(features=features, variant=variant, part=part)
        return Processor(
            name,
            (emulator or "", "-cpu", cpu, "-L", str(root), python),
            {"PYTHONPATH": str(folder / "site"), "PYTHONHOME": str(root / "usr")},
            (cpuinfo, text),
        )

    return (
        processor("ARM", "cortex-a72", _PLAIN, "0x0", "0xd08"),
        processor("ARM, dot products", "neoverse-n1", _DOT_PRODUCTS, "0x3", "0xd0c"),
    )


def arm_python(folder: Path) -> Path:
    """The root of a Debian with a Python for 64-bit ARM, and ONNX Runtime's wheel beside it.

    Args:
        folder: is filled the first time: 180 MB.

    Raises:
        RuntimeError: there is no ``apt-get`` or no network.
    """
    root, site = folder / "root", folder / "site"
    if (folder / "ready").exists():
        return root
    for each in ("apt/lists/partial", "apt/cache/archives/partial", "debs", "root", "site"):
        (folder / each).mkdir(parents=True, exist_ok=True)
    (folder / "apt" / "status").touch()
    # Lists and state of its own, so that those of the system stay as they are.
    apt = ["apt-get", "-q", "-o", "APT::Architecture=arm64", "-o", "APT::Architectures=arm64"]
    for key, place in (("State", ""), ("State::lists", "lists"), ("State::status", "status")):
        apt += ["-o", f"Dir::{key}={folder.resolve() / 'apt' / place}"]
    apt += ["-o", f"Dir::Cache={folder.resolve() / 'apt' / 'cache'}", "-o", "Debug::NoLocking=1"]
    _do([*apt, "update"], folder)
    _do([*apt, "download", *_DEBIAN], folder / "debs")
    for package in sorted((folder / "debs").glob("*.deb")):
        _do(["dpkg", "-x", str(package.resolve()), str(root.resolve())], folder)
    wheels = [f"{name}=={version(name)}" for name in ("onnxruntime", "numpy")]
    tags = [option for tag in _TAGS for option in ("--platform", tag)]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps"]
    only = ["--only-binary=:all:", "--python-version", "3.11", *tags, "-d", "wheels"]
    _do([*pip, *only, *wheels], folder)
    for wheel in (folder / "wheels").glob("*.whl"):
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(site)
    # ONNX Runtime asks these how many processors there are; the emulator would show its host's.
    (root / "proc").mkdir(exist_ok=True)
    cpus = root / "sys" / "devices" / "system" / "cpu"
    cpus.mkdir(parents=True, exist_ok=True)
    for name in ("possible", "present"):
        (cpus / name).write_text("0\n")
    (folder / "ready").touch()
    return root


def _found(names: Sequence[str]) -> str | None:
    return next((path for name in names if (path := shutil.which(name))), None)


def _do(command: Sequence[str], folder: Path) -> None:
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    except OSError as error:
        raise RuntimeError(f"{command[0]}: {error.strerror}") from error
    if done.returncode:
        lines = (done.stderr or done.stdout).strip().splitlines() or ["it failed"]
        raise RuntimeError(f"{command[0]}: {lines[-1]}")

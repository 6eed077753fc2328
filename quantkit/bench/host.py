"""The machine that a bench ran on: absolute times mean nothing without it."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform
import subprocess
from pathlib import Path

import psutil

from quantkit import __version__
from quantkit.bench.schema import Host

# The instruction sets that decide how fast float and int8 kernels are, on x86 and on ARM.
_TELLING_FLAGS = (
    "avx",
    "avx2",
    "fma",
    "avx512f",
    "avx512bw",
    "avx_vnni",
    "avx512_vnni",
    "amx_int8",
    "neon",
    "asimd",
    "asimdhp",
    "asimddp",
    "i8mm",
    "sve",
)
_VNNI_FLAGS = frozenset({"avx_vnni", "avx512_vnni"})
_CPUINFO = Path("/proc/cpuinfo")


def describe_host() -> Host:
    """CPU, its telling flags, cores, memory and the versions of what computes."""
    name, flags = _cpu()
    return Host(
        cpu=name,
        machine=platform.machine(),
        system=f"{platform.system()} {platform.release()}",
        cores=usable_cores(),
        memory_bytes=int(psutil.virtual_memory().total),
        flags=tuple(flag for flag in _TELLING_FLAGS if flag in flags),
        vnni=bool(_VNNI_FLAGS & flags),
        python=platform.python_version(),
        onnxruntime=_version("onnxruntime"),
        onnx=_version("onnx"),
        numpy=_version("numpy"),
        quantkit=__version__,
    )


def usable_cores() -> int:
    """Logical cores that this process may run on."""
    try:
        return len(os.sched_getaffinity(0))
    except AttributeError:  # macOS and Windows have no affinity masks
        return os.cpu_count() or 1


def parse_cpuinfo(text: str) -> tuple[str, frozenset[str]]:
    """Name and flags of the first CPU in the format of Linux's ``/proc/cpuinfo``."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip().lower(), value.strip())
    name = fields.get("model name") or fields.get("cpu model") or fields.get("hardware") or ""
    return name, frozenset((fields.get("flags") or fields.get("features") or "").split())


def _cpu() -> tuple[str, frozenset[str]]:
    if _CPUINFO.is_file():
        name, flags = parse_cpuinfo(_CPUINFO.read_text(encoding="utf-8", errors="replace"))
        return name or platform.processor() or platform.machine(), flags
    if platform.system() == "Darwin":
        return _sysctl("machdep.cpu.brand_string") or platform.processor(), _mac_flags()
    return platform.processor() or platform.machine(), frozenset()


def _mac_flags() -> frozenset[str]:
    """Flags of a Mac under the names that Linux gives them."""
    found = _sysctl("machdep.cpu.features", "machdep.cpu.leaf7_features").lower().split()
    names = {"avx1.0": "avx", "avx512vnni": "avx512_vnni"}
    flags = {names.get(flag, flag) for flag in found}
    if _sysctl("hw.optional.arm.FEAT_DotProd") == "1":
        flags |= {"asimd", "asimddp"}
    if _sysctl("hw.optional.arm.FEAT_I8MM") == "1":
        flags.add("i8mm")
    return frozenset(flags)


def _sysctl(*names: str) -> str:
    try:
        result = subprocess.run(
            ["sysctl", "-n", *names], capture_output=True, text=True, check=False
        )
    except OSError:
        return ""
    return " ".join(result.stdout.split())


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        # onnxruntime also comes as onnxruntime-gpu and others, under one module name.
        return str(getattr(importlib.import_module(package), "__version__", "unknown"))

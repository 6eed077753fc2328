"""The processor that models run on: times mean nothing without it."""

from __future__ import annotations

import platform
import subprocess
from pathlib import Path

_CPUINFO = Path("/proc/cpuinfo")


def processor() -> tuple[str, frozenset[str]]:
    """Name and feature flags of the CPU, as far as the system tells them."""
    if _CPUINFO.is_file():
        name, flags = parse_cpuinfo(_CPUINFO.read_text(encoding="utf-8", errors="replace"))
        return name or platform.processor() or platform.machine(), flags
    if platform.system() == "Darwin":
        return _sysctl("machdep.cpu.brand_string") or platform.processor(), _mac_flags()
    return platform.processor() or platform.machine(), frozenset()


def parse_cpuinfo(text: str) -> tuple[str, frozenset[str]]:
    """Name and flags of the first CPU in the format of Linux's ``/proc/cpuinfo``."""
    fields: dict[str, str] = {}
    for line in text.splitlines():
        key, colon, value = line.partition(":")
        if colon:
            fields.setdefault(key.strip().lower(), value.strip())
    name = fields.get("model name") or fields.get("cpu model") or fields.get("hardware") or ""
    return name, frozenset((fields.get("flags") or fields.get("features") or "").split())


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

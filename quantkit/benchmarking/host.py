"""The machine of a bench run, without which absolute times are meaningless."""

from __future__ import annotations

import importlib
import importlib.metadata
import os
import platform

import psutil

from quantkit.benchmarking.schema import Host
from quantkit.runtime.processor import processor
from quantkit.version import __version__

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


def describe_host() -> Host:
    """CPU, its relevant flags, cores, memory and library versions."""
    name, flags = processor()
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


def _version(package: str) -> str:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        # Other packages, such as onnxruntime-gpu, provide the same module.
        return str(getattr(importlib.import_module(package), "__version__", "unknown"))

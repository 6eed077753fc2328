"""The example of a bundle in C++, compiled and run."""

from __future__ import annotations

import re
import shutil
from dataclasses import dataclass
from pathlib import Path

from quantkit.bundles.example_files import CPP
from quantkit.bundles.measured_process import Finished, run_measured
from quantkit.errors import ModelError

_COMPILERS = ("c++", "g++", "clang++")
_VERSION = re.compile(r"libonnxruntime\.(?:so\.)?(\d+\.\d+\.\d+)")


@dataclass(frozen=True)
class Kit:
    """ONNX Runtime for C++, as its release archives are laid out.

    Args:
        include: folder of ``onnxruntime_cxx_api.h``.
        library: the shared library.
    """

    include: Path
    library: Path

    @property
    def version(self) -> str:
        """Of the library, by the name of its file; ``unknown`` where that has none."""
        found = _VERSION.search(self.library.resolve().name)
        return "unknown" if found is None else found.group(1)


def find_compiler() -> str | None:
    """A C++ compiler on the path."""
    return next((found for name in _COMPILERS if (found := shutil.which(name))), None)


def find_kit(folder: Path) -> Kit | None:
    """Headers and library below ``folder``: in ``include`` and ``lib``, or ``lib64``.

    So they lie in release archives, and below ``/usr`` those of Debian's ``libonnxruntime-dev``.
    """
    header = next(iter(sorted((folder / "include").rglob("onnxruntime_cxx_api.h"))), None)
    places = (folder / "lib", folder / "lib64", *sorted(folder.glob("lib/*-linux-gnu")))
    libraries = [path for place in places for path in place.glob("libonnxruntime.*")]
    suited = sorted(path for path in libraries if ".so" in path.name or ".dylib" in path.name)
    return None if header is None or not suited else Kit(header.parent, suited[0])


def run_cpp(folder: Path, clip: Path, compiler: str, kit: Kit, apart: Path) -> Finished:
    """Compile the example of a bundle into ``apart``, and run it there.

    Raises:
        ModelError: it does not compile.
        OSError: the compiler cannot be started.
    """
    program = (apart / "example").absolute()
    library = kit.library.absolute()
    command = [compiler, "-std=c++17", "-O2", f"-I{kit.include.absolute()}"]
    command += [str((folder / CPP).absolute()), str(library), f"-Wl,-rpath,{library.parent}"]
    done = run_measured([*command, "-o", str(program)], apart)
    if done.code != 0:
        errors = [line for line in done.errors.splitlines() if "error" in line]
        raise ModelError(f"{CPP} does not compile: {errors[0] if errors else done.reason}")
    return run_measured([str(program), str(clip), str(folder.absolute())], apart)

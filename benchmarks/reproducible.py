"""Whether the same inputs give the same bytes: run twice, with one core, and in other Pythons.

``python -m benchmarks.reproducible --python PROGRAM …`` makes artifacts, plans and bundles of the
shipped model and of a small wav2vec 2.0 and a small Whisper with random weights once as a
reference, and again in each way, and compares all files byte by byte. PROGRAM is
another Python with the same releases of quantkit's dependencies, given as often as there are some;
what needs PyTorch (``export``) is left out there where it is missing. ``--only GLOB`` picks steps
and writes nothing down.
"""

from __future__ import annotations

import fnmatch
import hashlib
import os
import subprocess
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path

import click

from benchmarks.cells import ROOT
from benchmarks.results import host, replace_section, table
from quantkit.disk.files import sha256_of
from quantkit.runtime.parallel import cores

_AUDIO = ("--audio", str(ROOT / "calibration_data"), "--split", "calibration", "--clips", "3")
_LIBRARIES = ("numpy", "onnx", "onnxruntime", "scipy")
_VERSIONS = f"""
import platform
from importlib.metadata import version
print(platform.python_version(), *(version(name) for name in {_LIBRARIES}))
"""


@dataclass(frozen=True)
class Step:
    """One command line; ``{OUT}`` is the folder of results, ``{REF}`` that of the reference run.

    Args:
        name: in the table.
        arguments: of ``quantkit``.
        makes: the file or folder that is compared, relative to the folder of results.
        threads: whether the command takes ``--threads``.
        torch: whether it needs PyTorch.
    """

    name: str
    arguments: tuple[str, ...]
    makes: str
    threads: bool = True
    torch: bool = False


@dataclass(frozen=True)
class Way:
    """One way of running all steps again.

    Args:
        name: in the table.
        python: program.
        threads: arguments for the commands that take them.
        environment: variables that differ.
    """

    name: str
    python: str = sys.executable
    threads: tuple[str, ...] = ()
    environment: Mapping[str, str] = field(default_factory=dict)


def steps() -> Iterator[Step]:
    """In an order in which each finds in the reference run what it needs."""
    source, made = str(ROOT / "models" / "wav2letter-en"), "wav2letter-en.onnx"
    export = ("export", source, "-o", "{OUT}/" + made)
    yield Step("export wav2letter-en", export, made, threads=False, torch=True)
    letters = "{REF}/" + made
    presets: tuple[tuple[str, tuple[str, ...]], ...] = (
        ("static-int8", ("--preset", "static-int8")),
        ("grouped-2", ("--compute", "static", "--codec", "grouped:2")),
    )
    for name, settings in presets:
        made = f"{name}.onnx"
        arguments = ("quantize", letters, *_AUDIO, *settings, "-o", "{OUT}/" + made)
        yield Step(f"quantize {name}", arguments, made)
    licence = str(ROOT / "models" / "wav2letter-en" / "LICENCE")
    for name in ("static-int8", "grouped-2"):
        model = "{REF}/" + f"{name}.onnx"
        arguments = ("ship", model, "--licence", licence, "-o", "{OUT}/bundle-" + name)
        yield Step(f"ship {name}", arguments, f"bundle-{name}", threads=False)
    yield from _fitted("wav2letter-en", letters, "2MB")
    for name, budget in (("wav2vec2", "120kB"), ("whisper", "1.5MB")):
        made = f"{name}.onnx"
        arguments = ("export", "{CHECKPOINTS}/" + name, "-o", "{OUT}/" + made)
        yield Step(f"export {name}", arguments, made, threads=False, torch=True)
        model, made = "{REF}/" + made, f"{name}-static-int8.onnx"
        arguments = ("quantize", model, *_AUDIO, "--preset", "hybrid", "-o", "{OUT}/" + made)
        yield Step(f"quantize {name}", arguments, made)
        yield from _fitted(name, model, budget)


def _fitted(name: str, model: str, budget: str) -> Iterator[Step]:
    """What is measured, decided and made for a budget."""
    for verb, made in (("plan", f"plan-{name}.json"), ("personalize", f"personal-{name}.onnx")):
        heard = (*_AUDIO, "--no-cache") if verb == "personalize" else _AUDIO
        arguments = (verb, model, *heard, "--budget", budget, "-o", "{OUT}/" + made)
        yield Step(f"{verb} {name}", arguments, made)


def write_checkpoints(folder: Path) -> None:
    """A small wav2vec 2.0 and a small Whisper of ``transformers``, with seeded random weights."""
    # Not followed by the type checker, which leaves tests out.
    pretrained, whisper = (import_module(f"tests.{name}") for name in ("pretrained", "whisper"))
    if not (folder / "wav2vec2").is_dir():
        sizes = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
        pretrained.save(folder / "wav2vec2", pretrained.tiny("Wav2Vec2ForCTC", **sizes))
    if not (folder / "whisper").is_dir():
        whisper.write_transformers(folder / "whisper", whisper.tiny_whisper())


def digest(path: Path) -> str:
    """SHA-256 of a file, or of a folder's names and contents; empty where nothing is there."""
    if path.is_file():
        return sha256_of(path)
    found = hashlib.sha256()
    for each in sorted(path.rglob("*")):
        if each.is_file():
            found.update(f"{each.relative_to(path).as_posix()} {sha256_of(each)}\n".encode())
    return found.hexdigest() if path.is_dir() else ""


def run(step: Step, way: Way, out: Path, reference: Path) -> str:
    """The digest of what the step makes that way; what lies there already is not made again."""
    if found := digest(out / step.makes):
        return found
    places = {"{OUT}": out, "{REF}": reference, "{CHECKPOINTS}": reference.parent / "checkpoints"}
    arguments = list(step.arguments)
    for word, place in places.items():
        arguments = [argument.replace(word, str(place)) for argument in arguments]
    command = [way.python, "-m", "quantkit", *arguments, *(way.threads if step.threads else ())]
    environment = os.environ | {"PYTHONPATH": str(ROOT)} | dict(way.environment)
    done = subprocess.run(
        command, cwd=ROOT, env=environment, check=False, capture_output=True, text=True
    )
    if done.returncode:
        raise click.ClickException(f"{step.name}, {way.name}: {done.stderr.strip()}")
    return digest(out / step.makes)


def versions_of(python: str) -> tuple[str, ...]:
    """Of a Python and the libraries that numbers depend on.

    Raises:
        click.ClickException: it does not run, or lacks one.
    """
    try:
        done = subprocess.run(
            [python, "-c", _VERSIONS], check=True, capture_output=True, text=True, timeout=60
        )
    except (OSError, subprocess.SubprocessError) as error:
        raise click.ClickException(f"{python} does not run: {error}") from error
    return tuple(done.stdout.split())


def ways(pythons: Sequence[str]) -> Iterator[Way]:
    """All of them; the first is the reference.

    Raises:
        click.ClickException: a Python has other releases of the libraries.
    """
    version, *libraries = versions_of(sys.executable)
    several = {"OMP_NUM_THREADS": str(cores())}
    yield Way(f"Python {version}, all cores", environment={"PYTHONHASHSEED": "1", **several})
    yield Way("again", environment={"PYTHONHASHSEED": "2", **several})
    yield Way("one core", threads=("--threads", "1"), environment={"OMP_NUM_THREADS": "1"})
    for python in pythons:
        version, *others = versions_of(python)
        if others != libraries:
            raise click.ClickException(f"{python} has {others}, and this Python {libraries}")
        yield Way(f"Python {version}", python, environment=several)


def has_torch(python: str) -> bool:
    """Whether PyTorch can be imported there."""
    look = "import importlib.util, sys; sys.exit(importlib.util.find_spec('torch') is None)"
    return subprocess.run([python, "-c", look], check=False).returncode == 0


def compared(wanted: Sequence[Step], all_ways: Sequence[Way], scratch: Path) -> list[list[str]]:
    """A row per step: its name, and for each way but the first what came of it."""
    rows = [[step.name] for step in wanted]
    first: dict[str, str] = {}
    for number, way in enumerate(all_ways):
        # Folders have different names, so that a path in a file would show.
        out = scratch / f"way-{number * 7}"
        out.mkdir(exist_ok=True)
        for step, row in zip(wanted, rows, strict=True):
            if step.torch and not has_torch(way.python):
                row.append("–")
                continue
            found = run(step, way, out, scratch / "way-0")
            if not number:
                first[step.name] = found
                continue
            row.append("same" if found == first[step.name] else "DIFFERENT")
            click.echo(f"{step.name}, {way.name}: {row[-1]}")
    return rows


@click.command()
@click.option("--python", "pythons", multiple=True, help="Another Python; may be repeated.")
@click.option("--only", default="*", help="A glob over the names of steps.")
@click.option(
    "--keep", type=click.Path(path_type=Path), help="Folder to keep results in, and go on."
)
def main(pythons: tuple[str, ...], only: str, keep: Path | None) -> None:
    """Run all steps in all ways, compare, and write the section into RESULTS.md."""
    if cores() < 2:
        raise click.ClickException("one core alone cannot show that two give the same bytes")
    wanted = [step for step in steps() if fnmatch.fnmatchcase(step.name, only)]
    all_ways = list(ways(pythons))
    with tempfile.TemporaryDirectory() as scratch:
        folder = keep or Path(scratch)
        write_checkpoints(folder / "checkpoints")
        rows = compared(wanted, all_ways, folder)
    different = sum("DIFFERENT" in row for row in rows)
    if only == "*":
        reference, *others = (way.name for way in all_ways)
        pinned = zip(_LIBRARIES, versions_of(sys.executable)[1:], strict=True)
        libraries = ", ".join(f"{name} {version}" for name, version in pinned)
        text = (
            "## The same bytes\n\n"
            f"Files and bundles of the shipped Wav2Letter, made once ({reference}) and once more "
            "in each other way, with the reference's models as inputs and 3 clips, and compared "
            "byte by byte; of bundles the names and bytes of all files. "
            "Every run has a hash seed and an output folder of its own. "
            f"{host()}; {libraries} in every Python. "
            "`python -m benchmarks.reproducible --python PROGRAM` prints this.\n\n"
            + table(("made by", *others), rows)
        )
        replace_section("reproducible", text)
    if different:
        raise click.ClickException(f"{different} of {len(rows)} steps gave other bytes")


if __name__ == "__main__":
    main()

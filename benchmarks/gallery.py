"""The reports that the documentation shows: made by the commands, of the shipped model.

``python -m benchmarks.gallery`` writes ``docs/gallery/*.html``. They are what a user gets, byte for
byte; ``docs/gallery/index.md`` says by which command.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import click

from benchmarks.cells import ROOT

GALLERY = ROOT / "docs" / "gallery"
_AUDIO = ("--audio", "calibration_data", "--split", "calibration", "--clips", "12")
_TEST = ("--data", "calibration_data", "--split", "test")

#: Command lines of ``quantkit``; a page that one makes, and its name in the gallery.
STEPS: tuple[tuple[tuple[str, ...], str, str], ...] = (
    (("export", "models/wav2letter-en", "-o", "float32.onnx"), "", ""),
    (
        ("quantize", "float32.onnx", "--preset", "static-int8", *_AUDIO, "-o", "int8.onnx"),
        "",
        "",
    ),
    (
        (
            *("personalize", "float32.onnx", *_AUDIO, "--budget", "2MB"),
            *("--report", "user.html", "-o", "user.onnx"),
        ),
        "user.html",
        "personalize.html",
    ),
    (
        ("explain", "float32.onnx", "user.onnx", *_AUDIO, "--report", "why.html"),
        "why.html",
        "explain.html",
    ),
    (
        (
            *("bench", "float32.onnx", "int8.onnx", "user.onnx", *_TEST),
            *("--limit", "40", "--report", "report"),
        ),
        "report/index.html",
        "bench.html",
    ),
)


@click.command()
def main() -> None:
    """Run the commands in a folder of their own, and take their pages."""
    GALLERY.mkdir(exist_ok=True)
    with tempfile.TemporaryDirectory() as scratch:
        work = Path(scratch)
        for name in ("models", "calibration_data"):
            (work / name).symlink_to(ROOT / name)
        for arguments, made, page in STEPS:
            click.echo("quantkit " + " ".join(arguments))
            subprocess.run(
                [sys.executable, "-m", "quantkit", *arguments],
                cwd=work,
                env=os.environ | {"PYTHONPATH": str(ROOT), "QUANTKIT_CACHE": str(work / "cache")},
                check=True,
            )
            if made:
                shutil.copyfile(work / made, GALLERY / page)


if __name__ == "__main__":
    main()

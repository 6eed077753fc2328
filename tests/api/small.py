"""A small model, clips in all forms, and a corpus with splits."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import soundfile

from quantkit.graph.artifact import save_model
from tests.small_model import masked_convolutions

RATE = 16_000


def write_model(folder: Path, width: int = 2) -> Path:
    """A float32 artifact with labels and front end."""
    path = folder / "float32.onnx"
    save_model(masked_convolutions(width=width), path)
    return path


def clips(count: int, seed: int = 0) -> list[npt.NDArray[Any]]:
    """Some noise each, of int16."""
    random = np.random.default_rng(seed)
    lengths = random.integers(RATE // 4, RATE // 2, count)
    return [random.integers(-9_000, 9_000, length).astype(np.int16) for length in lengths]


def write_clips(folder: Path, samples: list[npt.NDArray[Any]]) -> list[Path]:
    """One WAV file each."""
    folder.mkdir(parents=True, exist_ok=True)
    paths = [folder / f"{number:02}.wav" for number in range(len(samples))]
    for path, clip in zip(paths, samples, strict=True):
        soundfile.write(path, clip, RATE, subtype="PCM_16")
    return paths


def write_corpus(folder: Path, splits: dict[str, int]) -> Path:
    """A corpus with transcripts and so many clips of each split."""
    names = [split for split, count in splits.items() for _ in range(count)]
    paths = write_clips(folder, clips(len(names)))
    rows = [f"{path.name}\t{split}\tabc" for path, split in zip(paths, names, strict=True)]
    (folder / "manifest.tsv").write_text("\n".join(("path\tsplit\ttext", *rows)))
    return folder

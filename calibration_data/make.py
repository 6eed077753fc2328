"""Make this folder's clips again: ``python calibration_data/make.py [OUT_DIR]``.

Texts, voices, manner of speaking and splits are the same on every run; so are the samples,
where the synthesis programs have the same versions.
"""

from __future__ import annotations

import random
import sys
from collections.abc import Iterator, Sequence
from math import exp
from pathlib import Path

import numpy as np
import soundfile

from quantkit.errors import OutputError, QuantkitError
from quantkit.synthesis import VOICES, Request, Voice, speak
from quantkit.synthesis.corpus import SAMPLE_RATE, Clip, Split, render, write_manifest
from quantkit.synthesis.engines import Waveform

HERE = Path(__file__).resolve().parent

# Women and men take turns, so that every split is balanced. Without piper: it draws its own noise
# on every run, and the terms of the recordings behind its base voice are not settled.
SPEAKERS = (
    "flite-slt", "festival-kal", "festival-slt", "flite-rms", "espeak-en-us-f2", "flite-awb",
    "espeak-en-gb-x-gbcwmd-f5", "festival-ked", "espeak-en-gb-scotland-f4", "flite-kal16",
    "espeak-en-029-f3", "espeak-en-gb-x-rp-m3",
)  # fmt: skip

SEED = 2024
# About 31 kbit/s, some 20 dB above the coding noise: 2.6 MB in all.
_COMPRESSION = 0.9


def plan() -> list[Clip]:
    """Which clips there are: two of every five texts calibrate, the others test."""
    names = {voice.name: voice for voice in VOICES}
    voices = [names[name] for name in SPEAKERS]
    turns: dict[Split, Iterator[Voice]] = {
        "calibration": _in_turn(voices),
        "test": _in_turn(voices),
    }
    clips: list[Clip] = []
    for place, text in enumerate(_lines("sentences.txt")):
        # Two and three voices in turn keep the corpus near ten minutes.
        clips += _spoken(f"sentence-{place:02d}", text, place, 2 + place % 2, turns)
    for place, text in enumerate(_lines("commands.txt")):
        clips += _spoken(f"command-{place:02d}", text, place, 2, turns)
    return clips


def make(out_dir: Path) -> Path:
    """Speak every clip into ``out_dir``; return the path of the manifest.

    Raises:
        MissingDependencyError: a synthesis program or voice is not installed.
        SynthesisError: a voice failed.
        OutputError: a file cannot be written.
    """
    clips = plan()
    seconds: dict[str, float] = {}
    for name in SPEAKERS:
        own = [clip for clip in clips if clip.voice.name == name]
        spoken = speak(own[0].voice, [clip.request for clip in own])
        for clip, (samples, rate) in zip(own, spoken, strict=True):
            audio = render(samples, rate, clip.warp, clip.seed)
            _write(out_dir / clip.path, audio)
            seconds[clip.path] = len(audio) / SAMPLE_RATE
    return write_manifest(out_dir, ((clip, seconds[clip.path]) for clip in clips))


def _spoken(
    name: str, text: str, place: int, times: int, turns: dict[Split, Iterator[Voice]]
) -> Iterator[Clip]:
    split: Split = "calibration" if place % 5 in (0, 3) else "test"
    for _ in range(times):
        voice = next(turns[split])
        rng = random.Random(f"{SEED}:{name}:{voice.name}")
        warp = exp(rng.uniform(-0.1, 0.1))
        manner = Request(
            text, stretch=warp * exp(rng.gauss(0.03, 0.1)), pitch=exp(rng.gauss(0, 0.07))
        )
        path = f"audio/{name}-{voice.name}.ogg"
        yield Clip(path, split, voice, manner, warp, rng.getrandbits(32))


def _in_turn(voices: Sequence[Voice]) -> Iterator[Voice]:
    while True:
        yield from voices


def _lines(name: str) -> list[str]:
    return (HERE / name).read_text(encoding="utf-8").splitlines()


def _write(path: Path, audio: Waveform) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(
            str(path),
            np.clip(audio, -1.0, 1.0),
            SAMPLE_RATE,
            format="OGG",
            subtype="OPUS",
            compression_level=_COMPRESSION,
        )
    except (OSError, RuntimeError) as error:
        raise OutputError(f"cannot write {path}: {error}") from error


if __name__ == "__main__":
    try:
        print(make(Path(sys.argv[1]) if len(sys.argv) > 1 else HERE))
    except QuantkitError as problem:
        sys.exit(f"error: {problem}")

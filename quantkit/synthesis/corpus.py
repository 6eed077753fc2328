"""Generate a labelled speech corpus: audio files and a ``manifest.tsv``.

A clip consists of a text, a voice, a manner of speaking and a room. The manner includes `warp`: the
voice is played back faster or slower, so that pitch and formants move together, as between large
and small speakers. This turns a few voices into many speakers.
"""

from __future__ import annotations

import hashlib
import random
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from math import exp
from pathlib import Path
from typing import Literal

import numpy as np
import soundfile
import soxr

from quantkit.disk.files import write_text
from quantkit.errors import InputError, MissingDependencyError, OutputError
from quantkit.synthesis.engines import Request, Waveform, available_voices, speak
from quantkit.synthesis.sentences import Kind, sentence
from quantkit.synthesis.vocabulary import COMMANDS
from quantkit.synthesis.voices import VOICES, Voice

SAMPLE_RATE = 16_000
"""Hz; the sample rate of all recognisers here."""

MANIFEST_COLUMNS = ("path", "split", "speaker", "gender", "language", "seconds", "text")

Split = Literal["train", "valid", "test", "calibration"]

_HELD_OUT_PERCENT = 2
_BATCH = 100
_CLIPS_PER_FOLDER = 1000


@dataclass(frozen=True, slots=True)
class Clip:
    """One row of the plan, decided before anything is spoken."""

    path: str
    split: Split
    voice: Voice
    request: Request
    warp: float
    seed: int


def split_of(text: str, place: int) -> Split:
    """The part of the corpus that a text belongs to, by its hash: one text, one split.

    Command words are the exception: there are twenty, and every split needs all of them, so the
    split depends on their position.
    """
    key = f"{place}:{text}" if all(word in COMMANDS for word in text.split()) else text
    bucket = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4]) % 100
    if bucket < _HELD_OUT_PERCENT:
        return "test"
    return "valid" if bucket < 2 * _HELD_OUT_PERCENT else "train"


def plan_clips(count: int, kind: Kind, seed: int, voices: Sequence[Voice] = VOICES) -> list[Clip]:
    """Choose text, voice and manner of every clip; the same arguments give the same plan.

    Raises:
        InputError: ``count`` is not positive or ``kind`` is unknown.
        MissingDependencyError: ``voices`` has none that may be used in training.
    """
    if count < 1:
        raise InputError(f"a corpus needs at least one clip, not {count}")
    trained = [voice for voice in voices if not voice.test_only]
    if not trained:
        raise MissingDependencyError(
            "no synthesis voice is installed (apt-get install espeak-ng flite festival)"
        )
    clips = []
    for place in range(count):
        rng = random.Random(f"{seed}:{kind}:{place}")
        text = sentence(kind, rng)
        split = split_of(text, place)
        allowed = list(voices) if split == "test" else trained
        voice = rng.choices(allowed, [voice.weight for voice in allowed])[0]
        warp = exp(rng.uniform(-0.16, 0.16))
        manner = Request(
            text, stretch=exp(rng.gauss(0.05, 0.16)) * warp, pitch=exp(rng.gauss(0, 0.12))
        )
        manner = replace(manner, stretch=min(1.7, max(0.65, manner.stretch)))
        path = f"audio/{place // _CLIPS_PER_FOLDER:03d}/{kind}-{seed}-{place:06d}.flac"
        clips.append(Clip(path, split, voice, manner, warp, rng.getrandbits(32)))
    return clips


def render(samples: Waveform, rate: int, warp: float, seed: int) -> Waveform:
    """Put a spoken clip into a room: warp, 16 kHz, silence around it, tone, loudness, noise."""
    rng = np.random.default_rng(seed)
    speech = np.asarray(soxr.resample(samples, rate * warp, SAMPLE_RATE), np.float32)
    before, after = rng.integers(0, SAMPLE_RATE // 4, 2)
    speech = np.pad(speech, (int(before), int(after)))
    if rng.random() < 0.5:
        # A first-order tilt: dull or bright microphones.
        tilt = rng.uniform(-0.5, 0.6)
        speech[1:] = speech[1:] + tilt * speech[:-1]
    peak = float(np.max(np.abs(speech)))
    speech *= float(np.exp(rng.uniform(np.log(0.1), np.log(0.9)))) / max(peak, 1e-6)
    if rng.random() < 0.5:
        level = float(np.sqrt(np.mean(speech**2))) * 10 ** (-rng.uniform(15, 45) / 20)
        speech = speech + level * _noise(len(speech), rng)
    return np.clip(speech, -1.0, 1.0).astype(np.float32)


def _noise(length: int, rng: np.random.Generator) -> Waveform:
    """Noise of unit power whose spectrum falls by a random slope between white and brown."""
    spectrum = np.fft.rfft(rng.standard_normal(length))
    spectrum *= (np.arange(len(spectrum)) + 1.0) ** -rng.uniform(0, 1)
    noise = np.fft.irfft(spectrum, length)
    return (noise / (np.std(noise) + 1e-9)).astype(np.float32)


def synthesize(out_dir: Path, clips: int, kind: Kind, seed: int = 0) -> Path:
    """Speak ``clips`` texts with all installed voices; return the path of the manifest.

    The manifest is written last, so a folder with a manifest is complete.

    Raises:
        InputError, MissingDependencyError: see `plan_clips`.
        SynthesisError: a voice failed.
        OutputError: the folder cannot be written.
    """
    planned = plan_clips(clips, kind, seed, available_voices(VOICES))
    seconds: dict[str, float] = {}
    for batch in _by_voice(planned):
        spoken = speak(batch[0].voice, [clip.request for clip in batch])
        for clip, (samples, rate) in zip(batch, spoken, strict=True):
            audio = render(samples, rate, clip.warp, clip.seed)
            _write(out_dir / clip.path, audio)
            seconds[clip.path] = len(audio) / SAMPLE_RATE
    return write_manifest(out_dir, ((clip, seconds[clip.path]) for clip in planned))


def write_manifest(out_dir: Path, clips: Iterable[tuple[Clip, float]]) -> Path:
    """Write ``manifest.tsv`` for clips and their durations in seconds, atomically."""
    lines = ["\t".join(MANIFEST_COLUMNS)]
    for clip, seconds in clips:
        voice = clip.voice
        row = (clip.path, clip.split, voice.name, voice.gender, voice.language)
        lines.append("\t".join((*row, f"{seconds:.3f}", clip.request.text)))
    manifest = out_dir / "manifest.tsv"
    write_text(manifest, "\n".join(lines) + "\n")
    return manifest


def _by_voice(clips: Sequence[Clip]) -> list[list[Clip]]:
    spoken_by: dict[str, list[Clip]] = {}
    for clip in clips:
        spoken_by.setdefault(clip.voice.name, []).append(clip)
    return [
        group[start : start + _BATCH]
        for group in spoken_by.values()
        for start in range(0, len(group), _BATCH)
    ]


def _write(path: Path, audio: Waveform) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(str(path), audio, SAMPLE_RATE, format="FLAC", subtype="PCM_16")
    except (OSError, RuntimeError) as error:
        raise OutputError(f"cannot write {path}: {error}") from error

"""Decoded audio on disk, so that epochs need neither decoding nor a corpus in memory."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from quantkit.arrays import FloatArray
from quantkit.audio.decode import AudioBytes
from quantkit.audio.features import load_waveform
from quantkit.audio.recording import WHOLE
from quantkit.audio.utterance import Utterance
from quantkit.disk.files import atomic_path
from quantkit.errors import AudioError, CorpusError, FormatError, OutputError
from quantkit.json_dataclass import build
from quantkit.json_fields import parse_json

_SCALE = 32_767.0
_SAMPLE_BYTES = 2


@dataclass(frozen=True)
class _Index:
    """The file beside the samples.

    Args:
        clips: each with its first sample and the one behind its last, one after another.
        unreadable: the others, with the reasons.
    """

    clips: tuple[tuple[str, int, int], ...]
    unreadable: tuple[tuple[str, str], ...]


class WaveformStore:
    """16-bit samples of many clips in one memory-mapped file.

    Opening the same clips again reuses the file, unless it is damaged or one of them has changed.
    A clip that cannot be decoded has no samples; ``unreadable`` lists the reasons.
    """

    def __init__(
        self,
        utterances: Sequence[Utterance],
        folder: Path,
        sample_rate: int,
        on_progress: Callable[[int], None] = lambda count: None,
    ) -> None:
        clips = [u for u in utterances if u.source is not None]
        key = hashlib.sha256()
        for clip in clips:
            entry = f"{_key(clip)}:{_version(clip)}:{sample_rate};"
            key.update(entry.encode("utf-8", "surrogateescape"))
        self._samples_path = folder / f"{key.hexdigest()[:24]}.i16"
        index_path = self._samples_path.with_suffix(".json")
        if (index := self._read(index_path)) is None:
            self._build(clips, index_path, sample_rate, on_progress)
            index = self._read(index_path)
            if index is None:
                raise OutputError(f"{folder} does not hold what was written there; free some room")
        self._places = {name: (start, stop) for name, start, stop in index.clips}
        self._problems = dict(index.unreadable)
        self.unreadable: list[str] = list(self._problems.values())
        if clips and not self._places:
            raise CorpusError(
                f"none of {len(clips)} clips could be decoded; the first: {self.unreadable[0]}"
            )
        self._samples: npt.NDArray[np.int16] = (
            np.memmap(self._samples_path, dtype=np.int16, mode="r")
            if self._places
            else np.zeros(0, np.int16)
        )

    def __contains__(self, utterance: Utterance) -> bool:
        return _key(utterance) in self._places

    def problem_of(self, utterance: Utterance) -> str:
        """Why a clip could not be decoded; empty if it could."""
        return self._problems.get(_key(utterance), "")

    def length(self, utterance: Utterance) -> int:
        """Samples of a clip."""
        start, stop = self._places[_key(utterance)]
        return stop - start

    def __getitem__(self, utterance: Utterance) -> FloatArray:
        """(samples,) float32 in [-1, 1]."""
        start, stop = self._places[_key(utterance)]
        return self._samples[start:stop].astype(np.float32) / np.float32(_SCALE)

    def _read(self, index_path: Path) -> _Index | None:
        """What an earlier run left, if all of it is there and sound."""
        try:
            index = build(_Index, parse_json(index_path.read_bytes(), "the index"), "the index")
            samples = self._samples_path.stat().st_size // _SAMPLE_BYTES
        except (OSError, FormatError):
            return None
        position = 0
        for _, start, stop in index.clips:
            if start != position or stop < start:
                return None
            position = stop
        return index if position == samples else None

    def _build(
        self,
        utterances: Sequence[Utterance],
        index_path: Path,
        sample_rate: int,
        on_progress: Callable[[int], None],
    ) -> None:
        def decode(utterance: Utterance) -> npt.NDArray[np.int16] | str:
            try:
                waveform = load_waveform(utterance, sample_rate)
            except AudioError as error:
                return str(error)
            return (np.clip(waveform, -1.0, 1.0) * _SCALE).round().astype(np.int16)

        clips: list[tuple[str, int, int]] = []
        unreadable: list[tuple[str, str]] = []
        position = 0
        with (
            atomic_path(self._samples_path) as temporary,
            temporary.open("wb") as stream,
            ThreadPoolExecutor(2) as pool,
        ):
            for start in range(0, len(utterances), 256):
                group = utterances[start : start + 256]
                for utterance, samples in zip(group, pool.map(decode, group), strict=True):
                    if isinstance(samples, str):
                        unreadable.append((_key(utterance), samples))
                        continue
                    stream.write(samples.tobytes())
                    clips.append((_key(utterance), position, position + samples.size))
                    position += samples.size
                on_progress(len(group))
        with atomic_path(index_path) as temporary:
            temporary.write_text(json.dumps({"clips": clips, "unreadable": unreadable}))


def _key(utterance: Utterance) -> str:
    """The clip by its file, and the part of it."""
    name = str(utterance.source)
    part = utterance.excerpt
    return name if part == WHOLE else f"{name}#{part.start:g}-{part.stop:g}"


def _version(utterance: Utterance) -> str:
    """A version of the file; not only its size, because a new recording can have the same size."""
    source = utterance.source
    if source is None:
        return ""
    path = source.table if isinstance(source, AudioBytes) else source
    try:
        status = path.stat()
    except OSError:
        # Decoding reports the error of this one.
        return "missing"
    return f"{status.st_size}:{status.st_mtime_ns}"

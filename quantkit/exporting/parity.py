"""Does the exported graph give the numbers of the model that it was made of?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
import numpy.typing as npt

from quantkit.arrays import FloatArray
from quantkit.errors import InputError, ParityError
from quantkit.graph.artifact import read_info
from quantkit.runtime.session import create_session

BATCH_SIZES = (1, 2, 5)
TOLERANCE = 1e-4


class Reference(Protocol):
    """The model that an artifact is compared with."""

    @property
    def name(self) -> str:
        """What computes it, for messages."""
        ...

    @property
    def unit(self) -> str:
        """What lengths of clips count: frames or samples."""
        ...

    @property
    def lengths(self) -> tuple[int, ...]:
        """Lengths worth comparing, the first of them the shortest that the model takes."""
        ...

    def clips(self, counts: Sequence[int], generator: np.random.Generator) -> list[FloatArray]:
        """Random input for the artifact, one clip of each length."""
        ...

    def outputs(self, clips: Sequence[FloatArray]) -> list[FloatArray]:
        """Log-probabilities of each clip as if it were alone: (frames, labels) or (classes,)."""
        ...


@dataclass(frozen=True)
class ParityCase:
    """One batch: its size, its longest clip in steps of the input, and its largest difference."""

    batch_size: int
    length: int
    difference: float
    where: str


@dataclass(frozen=True)
class ParityReport:
    """All cases of a check that passed.

    Args:
        tolerance: largest difference that would have been accepted.
        reference: what was compared with.
        notes: what was done to the source before, in words.
    """

    tolerance: float
    cases: tuple[ParityCase, ...]
    reference: str = "PyTorch"
    notes: tuple[str, ...] = ()

    @property
    def worst(self) -> ParityCase:
        """The case with the largest difference."""
        return max(self.cases, key=lambda case: case.difference)


def check_parity(
    reference: Reference,
    path: Path,
    lengths: Sequence[int] | None = None,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    tolerance: float = TOLERANCE,
    seed: int = 0,
    silence: bool = False,
    outputs: tuple[str, str] = ("log_probs", "output_lengths"),
) -> ParityReport:
    """Compare an artifact with its source on random batches of clips of mixed length.

    The padding is filled with loud noise, so that a graph that looks past the end of a clip is
    found. The difference is ``|a - b| / max(1, |a|)`` of log-probabilities, over valid frames.

    Args:
        lengths: longest clip of each batch; by default the reference's own choice.
        batch_sizes: clips per batch; every length is run with every size.
        silence: whether every length is run with clips of zeros, too.
        outputs: names of what is compared, and of the number of its valid frames.

    Raises:
        ParityError: a difference above ``tolerance``, or other output lengths or shapes.
        ModelError: ``path`` does not load.
    """
    shortest = reference.lengths[0]
    lengths = reference.lengths if lengths is None else lengths
    if not lengths or not batch_sizes or min(lengths) < shortest or min(batch_sizes) < 1:
        raise InputError(
            f"a parity check needs lengths of at least {shortest} and batch sizes of at least 1"
        )
    artifact = _Artifact(path, outputs)
    generator = np.random.default_rng(seed)
    cases = tuple(
        _compare(reference, artifact, size, longest, generator, loud)
        for loud in ((True, False) if silence else (True,))
        for longest in lengths
        for size in batch_sizes
    )
    report = ParityReport(tolerance, cases, reference.name)
    if report.worst.difference > tolerance:
        failed = sum(case.difference > tolerance for case in cases)
        raise ParityError(
            f"{path.name} differs from {reference.name} in {failed} of {len(cases)} batches; the "
            f"worst is {report.worst.where}, beyond the tolerance of {tolerance:g}"
        )
    return report


class _Artifact:
    def __init__(self, path: Path, outputs: tuple[str, str]) -> None:
        read_info(path)
        self.session = create_session(path, threads=0)
        self.outputs = outputs

    def run(
        self, clips: Sequence[FloatArray], generator: np.random.Generator
    ) -> list[npt.NDArray[np.float32]]:
        """Outputs of one batch, the first of them the log-probabilities."""
        lengths = np.array([len(clip) for clip in clips], dtype=np.int64)
        shape = (len(clips), int(lengths.max()), *clips[0].shape[1:])
        padded = (100.0 * generator.standard_normal(shape)).astype(np.float32)
        for row, clip in zip(padded, clips, strict=True):
            row[: len(clip)] = clip
        names = {value.name for value in self.session.get_outputs()}
        wanted = [name for name in self.outputs if name in names]
        feeds = {self.session.get_inputs()[0].name: padded, "lengths": lengths}
        found: list[npt.NDArray[np.float32]] = self.session.run(wanted, feeds)
        return found


def _compare(
    reference: Reference,
    artifact: _Artifact,
    size: int,
    longest: int,
    generator: np.random.Generator,
    loud: bool,
) -> ParityCase:
    # The first clip is the longest, the others end somewhere before it.
    shorter = generator.integers(reference.lengths[0], longest + 1, size - 1)
    counts = [longest, *shorter.tolist()]
    clips = reference.clips(counts, generator)
    if not loud:
        clips = [np.zeros_like(clip) for clip in clips]
    expected = reference.outputs(clips)
    log_probs, *frames = artifact.run(clips, generator)
    batch = f"a batch of {size} × {longest} {reference.unit}{'' if loud else ' of silence'}"
    expected_shape = (size, *np.max([output.shape for output in expected], axis=0).tolist())
    expected_frames = [len(output) for output in expected]
    if log_probs.shape != expected_shape or any(f.tolist() != expected_frames for f in frames):
        found_frames = "".join(f" and lengths {f.tolist()}" for f in frames)
        wanted_frames = f" and {expected_frames}" if frames else ""
        where = (
            f"{batch}: output shape {log_probs.shape}{found_frames} instead of "
            f"{expected_shape}{wanted_frames}"
        )
        return ParityCase(size, longest, float("inf"), where)
    worst, where = -1.0, ""
    for clip, (output, found) in enumerate(zip(expected, log_probs, strict=True)):
        valid = found[: len(output)]
        with np.errstate(invalid="ignore"):
            difference = np.abs(valid - output) / np.maximum(1.0, np.abs(output))
        # Of a clip on which the source fails, the artifact gives no numbers either.
        alike = (valid == output) | (np.isnan(valid) & np.isnan(output))
        difference = np.where(np.isfinite(difference), difference, np.inf)
        difference = np.where(alike, 0.0, difference)
        place = np.unravel_index(int(difference.argmax()), difference.shape)
        if difference[place] > worst:
            worst = float(difference[place])
            where = (
                f"{batch}, clip {clip} of {counts[clip]} {reference.unit}, {_in_words(place)}: "
                f"{valid[place]:.6g} instead of {output[place]:.6g}, difference {worst:.3g}"
            )
    return ParityCase(size, longest, worst, where)


def _in_words(place: Sequence[np.intp]) -> str:
    if len(place) == 1:
        return f"class {place[0]}"
    return f"output frame {place[0]}, label {place[1]}"

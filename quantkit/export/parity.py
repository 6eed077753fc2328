"""Does the exported graph give PyTorch's numbers?"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from quantkit.audio.frontend import Frontend
from quantkit.errors import InputError, ParityError
from quantkit.models.wav2letter import Wav2Letter
from quantkit.runtime.recognizer import Recognizer

FloatArray = npt.NDArray[np.float32]

# Odd and even, the shortest that the first convolution takes, and longer than its kernel of 48.
LENGTHS = (2, 3, 31, 64, 127, 300)
BATCH_SIZES = (1, 2, 5)
TOLERANCE = 1e-4


@dataclass(frozen=True)
class ParityCase:
    """One batch: its size, its longest clip in frames, and its largest difference."""

    batch_size: int
    frames: int
    difference: float
    where: str


@dataclass(frozen=True)
class ParityReport:
    """All cases of a check that passed."""

    tolerance: float
    cases: tuple[ParityCase, ...]

    @property
    def worst(self) -> ParityCase:
        """The case with the largest difference."""
        return max(self.cases, key=lambda case: case.difference)


def check_parity(
    model: Wav2Letter,
    path: Path,
    lengths: Sequence[int] = LENGTHS,
    batch_sizes: Sequence[int] = BATCH_SIZES,
    tolerance: float = TOLERANCE,
    seed: int = 0,
) -> ParityReport:
    """Compare PyTorch and ONNX Runtime on random batches of clips of mixed length.

    A fused front end is compared with the NumPy one in front of PyTorch. The padding is filled
    with loud noise, so that a graph that looks past the end of a clip is found. The difference
    is ``|a - b| / max(1, |a|)`` of log-probabilities, over valid frames.

    Args:
        lengths: longest clip of each batch, in feature frames, at least 2.
        batch_sizes: clips per batch; every length is run with every size.

    Raises:
        ParityError: a difference above ``tolerance``, or other output lengths or shapes.
        ModelError: ``path`` does not load.
    """
    if not lengths or not batch_sizes or min(lengths) < 2 or min(batch_sizes) < 1:
        raise InputError("a parity check needs lengths of at least 2 and batch sizes of at least 1")
    recognizer = Recognizer.load(path)
    generator = np.random.default_rng(seed)
    was_training = model.training
    model.eval()
    try:
        cases = tuple(
            _compare(model, recognizer, size, frames, generator)
            for frames in lengths
            for size in batch_sizes
        )
    finally:
        model.train(was_training)
    report = ParityReport(tolerance, cases)
    if report.worst.difference > tolerance:
        failed = sum(case.difference > tolerance for case in cases)
        raise ParityError(
            f"{path.name} differs from PyTorch in {failed} of {len(cases)} batches; the worst is "
            f"{report.worst.where}, beyond the tolerance of {tolerance:g}"
        )
    return report


def _compare(
    model: Wav2Letter,
    recognizer: Recognizer,
    size: int,
    frames: int,
    generator: np.random.Generator,
) -> ParityCase:
    # The first clip is the longest, the others end somewhere before it.
    counts = np.concatenate(([frames], generator.integers(2, frames + 1, size - 1)))
    frontend = recognizer.frontend
    if recognizer.info.fused and isinstance(frontend, Frontend):
        samples = frontend.window + (counts - 1) * frontend.hop
        samples += generator.integers(0, frontend.hop, size)
        loudness = 10.0 ** generator.uniform(-3.0, -0.5, size)
        clips = [
            (scale * generator.standard_normal(n)).astype(np.float32)
            for scale, n in zip(loudness, samples, strict=True)
        ]
        given, feature_clips = clips, [frontend(clip) for clip in clips]
    else:
        bands = model.config.features
        given = feature_clips = [
            generator.standard_normal((n, bands)).astype(np.float32) for n in counts
        ]
    expected, expected_lengths = _pytorch(model, feature_clips)
    padded, true_lengths = recognizer.pad(given)
    for row, length in zip(padded, true_lengths, strict=True):
        row[length:] = 100.0 * generator.standard_normal(row[length:].shape)
    feeds = {recognizer.session.get_inputs()[0].name: padded, "lengths": true_lengths}
    found, found_lengths = recognizer.session.run(["log_probs", "output_lengths"], feeds)
    batch = f"a batch of {size} × {frames} frames"
    if not np.array_equal(found_lengths, expected_lengths) or found.shape != expected.shape:
        where = (
            f"{batch}: output shape {found.shape} and lengths {found_lengths.tolist()} instead of "
            f"{expected.shape} and {expected_lengths.tolist()}"
        )
        return ParityCase(size, frames, float("inf"), where)
    difference = np.abs(found - expected) / np.maximum(1.0, np.abs(expected))
    difference = np.where(np.isfinite(difference), difference, np.inf)
    valid = np.arange(expected.shape[1]) < expected_lengths[:, None]
    difference = np.where(valid[:, :, None], difference, 0.0)
    clip, frame, label = np.unravel_index(int(difference.argmax()), difference.shape)
    worst = float(difference[clip, frame, label])
    where = (
        f"{batch}, clip {clip} of {counts[clip]} frames, output frame {frame}, label {label}: "
        f"{found[clip, frame, label]:.6g} instead of {expected[clip, frame, label]:.6g}, "
        f"difference {worst:.3g}"
    )
    return ParityCase(size, frames, worst, where)


def _pytorch(
    model: Wav2Letter, clips: Sequence[FloatArray]
) -> tuple[FloatArray, npt.NDArray[np.int64]]:
    device = next(model.parameters()).device
    padded = torch.nn.utils.rnn.pad_sequence([torch.from_numpy(clip) for clip in clips], True)
    counts = torch.tensor([len(clip) for clip in clips])
    with torch.no_grad():
        log_probs, lengths = model(padded.to(device), counts.to(device))
    return log_probs.float().cpu().numpy(), lengths.cpu().numpy()

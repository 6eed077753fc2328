"""Somebody's ``.onnx`` in ONNX Runtime, and what can be found out by running it."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np

from quantkit.arrays import Array, FloatArray
from quantkit.audio.frontends import AnyFrontend
from quantkit.errors import ModelError
from quantkit.graph.interface import Interface
from quantkit.runtime.adapted_session import AdaptedSession, feeds_of
from quantkit.runtime.errors import runtime_errors
from quantkit.runtime.session import open_session, session_options
from quantkit.runtime.widened_session import WidenedSession

_LOG_NOTHING = 4

# Audio that every model takes, in seconds.
_LONG, _SHORT = 3.0, 1.0


class ForeignModel:
    """A foreign model, one clip at a time.

    Args:
        frontend: of its audio; of a model that takes samples, one of the right sample rate.
    """

    def __init__(self, path: Path, frontend: AnyFrontend) -> None:
        self.frontend = frontend
        options = session_options(threads=0)
        # Inputs that it cannot take are tried on purpose.
        options.log_severity_level = _LOG_NOTHING
        self.session = WidenedSession(open_session(path, options))

    def all_outputs(
        self, interface: Interface, clip: FloatArray, length: int | None = None
    ) -> dict[str, Array]:
        """Every output that is an array, by name, for a clip (samples,) or (frames, bands).

        Args:
            length: of what of ``clip`` is the clip itself; None: all.

        Raises:
            ModelError: ONNX Runtime fails on it.
        """
        names = [value.name for value in self.session.get_outputs()]
        own = len(clip) if length is None else length
        feeds = feeds_of(interface, clip[None], np.array([own]))
        with runtime_errors(f"the model fails on a clip of {len(clip)}"):
            found = self.session.run(names, feeds)
        return {n: v for n, v in zip(names, found, strict=True) if isinstance(v, np.ndarray)}

    def posteriors(self, interface: Interface, clip: FloatArray) -> FloatArray:
        """Log-probabilities of a clip: (frames, labels) or (classes,).

        Raises:
            ModelError: ONNX Runtime fails on it.
        """
        name = "features" if interface.is_features else "waveform"
        feed = {name: clip[None], "lengths": np.array([len(clip)])}
        with runtime_errors(f"the model fails on a clip of {len(clip)}"):
            log_probs, *frames = AdaptedSession(self.session, interface).run(None, feed)
        result: FloatArray = log_probs[0, : int(frames[0][0])] if frames else log_probs[0]
        return result

    def noise(self, interface: Interface, length: int, seed: int = 0) -> FloatArray:
        """A clip to try the model with."""
        generator = np.random.default_rng(seed)
        bands = getattr(self.frontend, "mel_bands", 0)
        shape = (length, bands) if interface.is_features else (length,)
        scale = 1.0 if interface.is_features else 0.1
        return (scale * generator.standard_normal(shape)).astype(np.float32)

    def steps(self, interface: Interface, seconds: float) -> int:
        """Length of a clip of so many seconds."""
        if interface.steps:
            return interface.steps
        samples = round(seconds * self.frontend.sample_rate)
        return self.frontend.frames_of(samples) if interface.is_features else samples


def shortest_clip(run: ForeignModel, interface: Interface) -> int:
    """Length of the shortest clip that the model gives numbers for."""

    def works(length: int) -> bool:
        try:
            found = run.posteriors(interface, run.noise(interface, length))
            return bool(found.size and np.isfinite(found).all())
        except ModelError:
            return False

    low, high = 0, run.steps(interface, _SHORT)
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (low, middle) if works(middle) else (middle, high)
    return high


@dataclass(frozen=True)
class Framing:
    """Output frames of a clip: ``(length + offset) // stride``.

    So it is for any stack of convolutions, because nested divisions that round down are one.
    """

    stride: int
    offset: int

    def __call__(self, length: int) -> int:
        return max(0, (length + self.offset) // self.stride)


def framing_of(run: ForeignModel, interface: Interface) -> Framing | None:
    """The framing of a CTC model, found by running it.

    Args:
        interface: one that takes all frames of the output.

    Returns:
        None where the number of frames does not follow from the length that way, such as of a model
        that fills up its input by itself.
    """

    def frames(length: int) -> int:
        return len(run.posteriors(interface, run.noise(interface, length)))

    short, long = run.steps(interface, _SHORT), run.steps(interface, _LONG)
    try:
        first, last = frames(short), frames(long)
        if last <= first:
            return None
        stride = round((long - short) / (last - first))
        # The shortest clip beyond `short` that has a frame more.
        low, high = short, short + 2 * stride
        while high - low > 1:
            middle = (low + high) // 2
            low, high = (middle, high) if frames(middle) == first else (low, middle)
        framing = Framing(stride, (first + 1) * stride - high)
        tried = (short, high, long, (short + long) // 2, long - stride // 2 - 1, long - stride - 1)
        return framing if all(frames(n) == framing(n) for n in tried) else None
    except ModelError:
        return None

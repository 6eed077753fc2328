"""A clip as the parts that a model takes one after the other."""

from __future__ import annotations

from quantkit.arrays import FloatArray
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.interface import interface_in


def clip_parts(clip: FloatArray, info: ArtifactInfo) -> list[FloatArray]:
    """The clip alone, or, for a model of one length that writes text, windows without overlap.

    What a front end adds behind a clip goes, as far as a window does not need it.

    Args:
        clip: (samples,) or (frames, bands).
    """
    interface = interface_in(info.extra)
    if interface is None:
        return [clip]
    window = interface.window
    # A spectrogram of Whisper is followed by one of silence, as long as its window.
    silence = 0 if info.fused else int(getattr(info.frontend, "window_frames", 0))
    own = max(1, len(clip) - silence)
    if not window or own <= window:
        return [clip[: max(own, silence, window)] if silence else clip]
    return [clip[start : start + window] for start in range(0, own, window)]

"""Text while somebody speaks."""

from __future__ import annotations

from quantkit.api.inputs import PathLike
from quantkit.api.load import Model, load
from quantkit.runtime.speech_model import SpeechStream
from quantkit.text.decoding import Decoding

__all__ = ["SpeechStream", "stream"]


def stream(
    model: PathLike | Model,
    sample_rate: float | None = None,
    *,
    threads: int = 1,
    decoding: Decoding | None = None,
) -> SpeechStream:
    """What hears one clip piece by piece, as a microphone gives it.

    >>> import quantkit
    >>> session = quantkit.stream("stream.onnx", 48_000)  # doctest: +SKIP
    >>> for samples in microphone:  # doctest: +SKIP
    ...     print(session.accept(samples))
    >>> session.finish()  # doctest: +SKIP
    'nobody in our village had ever owned a piano'

    Pieces are arrays (samples,) of one channel: float in [-1, 1], int16 or int32. They may be of
    any length, and how the clip is cut into them changes nothing. What :meth:`accept` returns is
    decoded greedily; :meth:`finish` follows ``decoding``. :meth:`reset` begins with another clip.

    Args:
        model: an artifact that hears in chunks, or what :func:`quantkit.load` opened.
        sample_rate: of the samples, in hertz; None: the model's own.
        threads, decoding: see :func:`quantkit.load`; of an opened model those that it has.

    Raises:
        InputError: the model hears whole clips, or a rate that no recording has.
        ModelError: the file is damaged, does not load, or is no artifact of a known task.
    """
    opened = model if isinstance(model, Model) else load(model, threads=threads, decoding=decoding)
    return opened.stream(sample_rate)

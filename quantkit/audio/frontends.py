"""Every front end that an artifact may name."""

from __future__ import annotations

import json

from quantkit.audio.frontend import Frontend
from quantkit.audio.waveform_frontend import WaveformFrontend
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import FormatError

AnyFrontend = Frontend | WaveformFrontend | WhisperFrontend

_KINDS: dict[str, type[Frontend] | type[WaveformFrontend] | type[WhisperFrontend]] = {
    "log-mel": Frontend,
    "waveform": WaveformFrontend,
    "whisper-log-mel": WhisperFrontend,
}


def frontend_from_json(text: str) -> AnyFrontend:
    """The front end that an artifact's ``quantkit.frontend`` metadata describes.

    >>> frontend_from_json(WaveformFrontend(8_000).to_json()).sample_rate
    8000

    Raises:
        FormatError: an unknown kind, or missing or unknown settings.
    """
    try:
        kind = json.loads(text)["kind"]
    except (ValueError, KeyError, TypeError) as error:
        raise FormatError(f"front end settings are not readable: {error}") from error
    if kind not in _KINDS:
        raise FormatError(f"there is no front end {kind!r}; known: {', '.join(_KINDS)}")
    return _KINDS[kind].from_json(text)

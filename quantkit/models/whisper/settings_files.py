"""What the settings beside a Whisper must say."""

from __future__ import annotations

from pathlib import Path

from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.errors import CheckpointError
from quantkit.models.pretrained_files import feature_extractor


def require_usual_frontend(folder: Path) -> None:
    """Refuse spectrograms of other settings; what a folder leaves out are the published ones.

    Raises:
        CheckpointError: the spectrogram is not a Whisper's.
    """
    settings, origin = feature_extractor(folder)
    usual = WhisperFrontend()
    for key, wanted in (
        ("sampling_rate", usual.sample_rate),
        ("n_fft", usual.window),
        ("hop_length", usual.hop),
        ("chunk_length", usual.window_seconds),
    ):
        if (found := settings.get(key, wanted)) != wanted:
            raise CheckpointError(f"{origin}: {key} is {found!r:.40}, but Whisper's is {wanted}")

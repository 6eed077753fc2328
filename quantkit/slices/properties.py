"""What is known of a clip: what its corpus says, and what its audio and its text show."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

from quantkit.audio.features import waveform_blocks
from quantkit.audio.sound import SAMPLE_RATE, Sound, measure_sound
from quantkit.audio.utterance import Utterance
from quantkit.errors import AudioError, InputError
from quantkit.printable import printable
from quantkit.slices.by import COMPUTED, WORDS, By

_COLUMNS = ("language", "speaker", "gender", "split")


@dataclass(frozen=True)
class ClipProperties:
    """Properties of one clip, by name.

    Args:
        clip: its name.
        named: what its corpus says.
        measured: seconds (``length``), active speech level and signal-to-noise ratio in decibels
            (``level``, ``noise``; see :class:`~quantkit.audio.sound.Sound`), and characters of its
            text per second (``rate``).
    """

    clip: str
    named: dict[str, str] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)


def properties_of(utterance: Utterance, text: str | None, *, sound: bool) -> ClipProperties:
    """What is known of one clip; what cannot be found out is left out.

    Args:
        text: of it, without differences that do not count: its transcript, or where there is none
            what a float32 model writes; None: its rate is not known.
        sound: whether its level and noise are wanted, for which its audio is opened.
    """
    columns = {**utterance.columns, **{name: getattr(utterance, name) for name in _COLUMNS}}
    named = {printable(name): printable(value) for name, value in columns.items() if value}
    heard = _sound(utterance) if sound or not utterance.seconds else None
    measured = {} if heard is None else {"level": heard.level, "noise": heard.noise}
    seconds = utterance.seconds or (0.0 if heard is None else heard.seconds)
    if seconds:
        measured["length"] = seconds
    if seconds and text:
        measured["rate"] = len(text) / seconds
    return ClipProperties(utterance.identifier, named, measured)


def needs_sound(by: Sequence[By]) -> bool:
    """Whether clips are divided by what only their audio shows."""
    return any(each.name in ("level", "noise") for each in by)


def require_possible(by: Sequence[By], clips: Iterable[Utterance]) -> None:
    """Refuse a property that no clip can have, before any is heard.

    Raises:
        InputError: the message names those that there are.
    """
    utterances = [*clips]
    known = {WORDS}
    for clip in utterances:
        known |= {name for name in _COLUMNS if getattr(clip, name)} | clip.columns.keys()
    if any(each.has_audio for each in utterances):
        known |= COMPUTED.keys()
    elif any(each.seconds for each in utterances):
        known |= {"length", "rate"}
    for each in by:
        if each.name not in known:
            names = ", ".join(map(printable, sorted(known)))
            raise InputError(f"no clip has the property {each.name!r}; --by takes {names}")


def _sound(utterance: Utterance) -> Sound | None:
    if not utterance.has_audio:
        return None
    try:
        return measure_sound(waveform_blocks(utterance, SAMPLE_RATE))
    except AudioError:
        # Whoever hears the clip says what is wrong with it.
        return None

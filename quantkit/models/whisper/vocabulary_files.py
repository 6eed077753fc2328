"""The vocabulary of a Whisper, from the files of a folder.

Its tokens are found by their names. A tokenizer may have fewer tokens than the model has outputs,
which padding makes more of, and words of its own. Where files leave names out, the settings and
the published layouts have them.
"""

from __future__ import annotations

import logging
from pathlib import Path

from quantkit.errors import CheckpointError, FormatError
from quantkit.models.pretrained_files import CONFIG_NAME
from quantkit.models.whisper.generation import GENERATION_NAME, Generation, is_token
from quantkit.models.whisper.layouts import LAYOUTS, Layout, layout_of
from quantkit.models.whisper.token_names import TokenNames, read_names
from quantkit.text.whisper_names import vocabulary_of_names
from quantkit.text.whisper_vocabulary import (
    LARGEST_VOCABULARY,
    TIMESTAMP_COUNT,
    WhisperVocabulary,
)

_LOG = logging.getLogger(__name__)

# Outputs are padded to a multiple of 8 to this.
_MULTIPLE = 128


def read_vocabulary(
    folder: Path, outputs: object, mel_bands: int, generation: Generation
) -> WhisperVocabulary:
    """The vocabulary in the folder of a model with ``outputs``.

    Args:
        mel_bands: of its front end.
        generation: its settings.

    Raises:
        CheckpointError: there is none, it is damaged, or it belongs to another model.
    """
    if not is_token(outputs) or not 0 < outputs <= LARGEST_VOCABULARY:
        raise CheckpointError(
            f"{folder / CONFIG_NAME}: invalid number of tokens in the model's settings: "
            f"{outputs!r:.40}"
        )
    found = read_names(folder, outputs)
    layout = layout_of({**generation.names, **found.names}, outputs, mel_bands)
    _require_own(found, layout, outputs, mel_bands, generation, folder)
    names = {**(layout.names if layout else {}), **generation.names, **found.names}
    if generation.translates(names):
        _LOG.warning(
            "%s is set to translate into English, which an artifact does only where it is asked "
            "to: give transcribe --translate",
            folder,
        )
    try:
        return vocabulary_of_names(
            {index: name for index, name in names.items() if index < outputs},
            _or_usual(generation.suppressed, [*layout.non_speech] if layout else []),
            _or_usual(generation.suppressed_first, layout.suppressed_first if layout else []),
            outputs=outputs,
            literal=found.literal,
            silent=found.silent,
            language=generation.language_of(names),
        )
    except FormatError as error:
        raise CheckpointError(f"{folder}: {error}") from error


def _or_usual(listed: list[int] | None, usual: list[int]) -> list[int]:
    return usual if listed is None else listed


def _require_own(
    found: TokenNames,
    layout: Layout | None,
    outputs: int,
    mel_bands: int,
    generation: Generation,
    folder: Path,
) -> None:
    """Refuse a vocabulary that can be told to be another model's."""
    places = {name: index for index, name in found.names.items()}
    for index, name in generation.names.items():
        if places.get(name, index) != index:
            raise CheckpointError(
                f"{folder}: {name} is token {places[name]} of the tokenizer, but {index} in "
                f"{GENERATION_NAME}: they are of two models"
            )
    named = 1 + max((*found.names, found.beyond))
    if layout is None:
        # The times behind the last name may have none.
        padding = [outputs - size for size in (named, named + TIMESTAMP_COUNT)]
        if 0 not in padding and not (outputs % 8 == 0 and any(0 < p < _MULTIPLE for p in padding)):
            raise _another(f"{named} tokens, but the model {outputs}", folder)
    elif not generation.names and outputs != named:
        if mel_bands > layout.mel_bands:
            what = f"tokens for {layout.mel_bands} mel bands, but the model has {mel_bands}"
            raise _another(what, folder)
        if outputs != layout.size and any(outputs == each.size for each in LAYOUTS):
            raise _another(f"{layout.size} tokens, but the model {outputs}", folder)


def _another(what: str, folder: Path) -> CheckpointError:
    return CheckpointError(f"{folder}: the vocabulary has {what}: it is another model's")

"""How a Whisper is to be used: ``generation_config.json``, or what older folders have instead."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeGuard

from transformers.models.whisper.tokenization_whisper import TO_LANGUAGE_CODE

from quantkit.errors import CheckpointError
from quantkit.models.pretrained_files import CONFIG_NAME, optional_json_object
from quantkit.text.whisper_names import NO_TIMESTAMPS, START, TRANSCRIBE, TRANSLATE

GENERATION_NAME = "generation_config.json"

_LANGUAGE = re.compile(r"<\|(.+)\|>")
# Where the prompt of ``forced_decoder_ids`` has the language.
_LANGUAGE_PLACE = 1
# What the published multilingual checkpoints force in config.json, whatever they hear.
_UNSAID = "en"


@dataclass(frozen=True)
class Generation:
    """Settings of a folder.

    Args:
        suppressed, suppressed_first: token lists; None where the folder leaves them to the layout.
        names: of tokens, by id.
        forced: ids of a prompt that the settings force, by position.
        language: a code, or a name in English; empty where none is set.
        is_in_config: whether ``forced`` comes from ``config.json``.
        does: ``transcribe`` or ``translate``; empty where none is set.
    """

    suppressed: list[int] | None = None
    suppressed_first: list[int] | None = None
    names: Mapping[int, str] = field(default_factory=dict)
    forced: Mapping[int, int] = field(default_factory=dict)
    language: str = ""
    is_in_config: bool = False
    does: str = ""

    def translates(self, names: Mapping[int, str]) -> bool:
        """Whether the folder is set to translate into English.

        Args:
            names: of all tokens.
        """
        return self.does == "translate" or TRANSLATE in (
            names.get(token, "") for token in self.forced.values()
        )

    def language_of(self, names: Mapping[int, str]) -> str:
        """Code of the language that is written where nobody names one; empty: it is detected.

        Args:
            names: of all tokens.
        """
        if self.language:
            name = self.language.lower()
            return TO_LANGUAGE_CODE.get(name, name.strip("<|>"))
        match = _LANGUAGE.fullmatch(names.get(self.forced.get(_LANGUAGE_PLACE, -1), ""))
        code = match[1] if match else ""
        return "" if self.is_in_config and code == _UNSAID else code


def read_generation(folder: Path, config: Mapping[str, Any]) -> Generation:
    """The settings in the folder of a ``transformers`` model.

    Args:
        config: content of ``config.json``, where older folders have them.

    Raises:
        CheckpointError: token lists are no lists of numbers.
    """
    path = folder / GENERATION_NAME
    own = optional_json_object(path)
    # One that transformers has derived from config.json says nothing of its own.
    is_derived = not own or own.get("_from_model_config") is True

    def tokens(key: str) -> list[int] | None:
        for settings, origin in ((own, path), (config, folder / CONFIG_NAME)):
            if settings.get(key) is not None:
                return token_list(settings[key], origin)
        return None if is_derived else []

    forced = _forced(own.get("forced_decoder_ids"))
    is_in_config = "forced_decoder_ids" not in own
    language = own.get("language")
    return Generation(
        suppressed=tokens("suppress_tokens"),
        suppressed_first=tokens("begin_suppress_tokens"),
        names=_names(own),
        forced=_forced(config.get("forced_decoder_ids")) if is_in_config else forced,
        language=language if isinstance(language, str) else "",
        is_in_config=is_in_config,
        does=own["task"] if isinstance(own.get("task"), str) else "",
    )


def token_list(value: object, origin: Path) -> list[int]:
    """``value``, if it is a list of tokens.

    -1, which stands for all symbols that write no speech, is left as it is.

    Raises:
        CheckpointError: it is not.
    """
    if not isinstance(value, list) or not all(is_token(each) or each == -1 for each in value):
        raise CheckpointError(
            f"{origin}: suppressed tokens are not a list of numbers: {value!r:.40}"
        )
    return value


def alignment_heads(settings: Mapping[str, Any]) -> tuple[tuple[int, int], ...]:
    """Layer and head of each head of cross-attention that follows the audio; none if unnamed.

    Args:
        settings: content of ``generation_config.json``, or of CTranslate2's ``config.json``.
    """
    rows = settings.get("alignment_heads")
    if not isinstance(rows, list):
        return ()
    return tuple(
        (row[0], row[1])
        for row in rows
        if isinstance(row, list) and len(row) == 2 and all(map(is_token, row))
    )


def is_token(value: object) -> TypeGuard[int]:
    """Whether ``value`` can be an id."""
    return type(value) is int and value >= 0


def _names(settings: Mapping[str, Any]) -> dict[int, str]:
    """What the settings call tokens; those of several languages and of both tasks are tables."""
    found = {
        NO_TIMESTAMPS: settings.get("no_timestamps_token_id"),
        START: settings.get("decoder_start_token_id") if "lang_to_id" in settings else None,
    }
    languages, tasks = settings.get("lang_to_id"), settings.get("task_to_id")
    if isinstance(languages, dict):
        found |= languages
    if isinstance(tasks, dict):
        found |= {TRANSCRIBE: tasks.get("transcribe"), TRANSLATE: tasks.get("translate")}
    return {index: name for name, index in found.items() if is_token(index)}


def _forced(value: object) -> dict[int, int]:
    rows = value if isinstance(value, list) else []
    return {
        row[0]: row[1]
        for row in rows
        if isinstance(row, list) and len(row) == 2 and is_token(row[0]) and is_token(row[1])
    }

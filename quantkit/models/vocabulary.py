"""Labels of the outputs of a ``transformers`` model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from quantkit.errors import CheckpointError, InputError
from quantkit.models.pretrained_files import optional_json_object, read_json_object
from quantkit.text.labels import Labels

# Wav2Vec2CTCTokenizer's default names.
_DEFAULTS = {
    "pad_token": "<pad>",
    "unk_token": "<unk>",
    "bos_token": "<s>",
    "eos_token": "</s>",
    "word_delimiter_token": "|",
}
_SPECIAL = ("unk_token", "bos_token", "eos_token")


def ctc_labels(folder: Path, outputs: int) -> Labels:
    """Labels from ``vocab.json`` and the tokenizer's other files.

    The padding token is the CTC blank, the word delimiter is a space, and special tokens are
    silent. Case is kept, because transcripts are converted to the case of the labels.

    Args:
        outputs: of the model.

    Raises:
        CheckpointError: files are missing or damaged, or the tokens do not match the outputs.
    """
    path = folder / "vocab.json"
    if not path.is_file():
        raise CheckpointError(
            f"{folder} has no vocab.json with the labels of the {outputs} outputs"
        )
    names = _token_names(folder)
    vocabulary = read_json_object(path)
    if any(isinstance(index, dict) for index in vocabulary.values()):
        raise CheckpointError(
            f"{path} has the vocabularies of several languages; save the model with the "
            "tokenizer and the adapter of one (set_target_lang, load_adapter)"
        )
    vocabulary |= optional_json_object(folder / "added_tokens.json")
    tokens = _in_order(vocabulary, outputs, path)
    if names["pad_token"] not in tokens:
        raise CheckpointError(
            f"{path} lacks the padding token {names['pad_token']!r}, which is the CTC blank"
        )
    silent = {names[key] for key in _SPECIAL}
    delimiter = names["word_delimiter_token"]
    blank = tokens.index(names["pad_token"])
    try:
        return Labels(
            tuple(" " if token == delimiter else token for token in tokens),
            blank,
            silent=tuple(i for i, token in enumerate(tokens) if token in silent and i != blank),
        )
    except InputError as error:
        raise CheckpointError(f"{path}: {error}") from error


def class_names(config: dict[str, Any], outputs: int, origin: Path) -> tuple[str, ...]:
    """Names of a classifier's outputs, from ``id2label`` of its configuration.

    Raises:
        CheckpointError: their number is not that of the outputs, or a name is repeated.
    """
    named = config.get("id2label")
    if not isinstance(named, dict):
        named = {str(index): f"LABEL_{index}" for index in range(outputs)}
    names = {str(index): str(name) for index, name in named.items()}
    if set(names) != {str(index) for index in range(outputs)}:
        raise CheckpointError(
            f"{origin}: id2label names {len(names)} classes, but the model has {outputs} outputs"
        )
    classes = tuple(names[str(index)] for index in range(outputs))
    if len(set(classes)) != outputs:
        raise CheckpointError(f"{origin}: id2label gives two classes the same name")
    return classes


def _token_names(folder: Path) -> dict[str, str]:
    names = dict(_DEFAULTS)
    for file in ("special_tokens_map.json", "tokenizer_config.json"):
        for key, value in optional_json_object(folder / file).items():
            if key in names:
                # An added token is an object with settings.
                content = value.get("content") if isinstance(value, dict) else value
                names[key] = content if isinstance(content, str) else names[key]
    return names


def _in_order(vocabulary: dict[str, Any], outputs: int, origin: Path) -> list[str]:
    by_index = {index: str(token) for token, index in vocabulary.items() if type(index) is int}
    # Tokenizers add tokens for which the model has no outputs.
    if len(by_index) != len(vocabulary) or not all(i in by_index for i in range(outputs)):
        known = sum(index < outputs for index in by_index)
        raise CheckpointError(
            f"{origin} names {known} of the model's {outputs} outputs; take the vocabulary that "
            "the model was trained with"
        )
    if len(by_index) > outputs and set(by_index) != set(range(len(by_index))):
        raise CheckpointError(f"{origin} skips some of its numbers; fetch it again")
    own = [token for token, index in vocabulary.items() if index >= outputs]
    if any(not token.startswith(("<", "[")) for token in own):
        raise CheckpointError(
            f"{origin} has {len(by_index)} tokens, but the model has {outputs} outputs; take the "
            "vocabulary that the model was trained with"
        )
    return [by_index[index] for index in range(outputs)]

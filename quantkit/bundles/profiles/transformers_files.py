"""The settings beside the graphs that transformers.js reads, in Hugging Face's formats."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from quantkit.bundles.profiles.label_files import printed
from quantkit.disk.files import write_json
from quantkit.models.pretrained_files import CONFIG_NAME
from quantkit.text.label_files.written_tokens import TOKENIZER
from quantkit.text.labels import Labels
from quantkit.text.whisper_names import (
    END,
    NO_SPEECH,
    NO_TIMESTAMPS,
    PREVIOUS,
    START,
    TRANSCRIBE,
    TRANSLATE,
)
from quantkit.text.whisper_vocabulary import TIMESTAMP_STEP, WhisperVocabulary, spelled_in_gpt2

GENERATION = "generation_config.json"
_PREPROCESSOR, _TOKENIZER_CONFIG = "preprocessor_config.json", "tokenizer_config.json"
_SPACE = "▁"


def write_settings(
    folder: Path,
    *,
    config: Mapping[str, Any],
    preprocessor: Mapping[str, Any],
    tokenizer: Mapping[str, Any] | None = None,
    tokenizer_config: Mapping[str, Any] | None = None,
    generation: Mapping[str, Any] | None = None,
) -> None:
    """Write those that there are."""
    files = {
        CONFIG_NAME: config,
        _PREPROCESSOR: preprocessor,
        TOKENIZER: tokenizer,
        _TOKENIZER_CONFIG: tokenizer_config,
        GENERATION: generation,
    }
    for name, content in files.items():
        if content is not None:
            write_json(folder / name, content)


def transformers_opening(task: str) -> str:
    """How transformers.js opens a folder from its own files."""
    return (
        'import { env, pipeline } from "@huggingface/transformers";\n\n'
        "env.allowRemoteModels = false;\n"
        "env.localModelPath = above;  // the folder that has this one in it\n"
        f'const run = await pipeline("{task}", name, {{ dtype: "fp32" }});\n'
        "console.log(await run(samples));  // Float32Array\n"
    )


def ctc_tokenizer(labels: Labels) -> tuple[dict[str, Any], dict[str, Any]]:
    """``tokenizer.json`` and its settings for CTC: repetitions count once, blanks go."""
    texts = [*printed(labels)]
    blank = texts[labels.blank]
    silent = [_special(number, texts[number]) for number in labels.silent]
    tokenizer = {
        "version": "1.0",
        "added_tokens": silent,
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "CTC", "pad_token": blank, "cleanup": False},
        "model": {"vocab": {text: number for number, text in enumerate(texts)}},
    }
    return tokenizer, {
        "tokenizer_class": "Wav2Vec2CTCTokenizer",
        "pad_token": blank,
        "clean_up_tokenization_spaces": False,
    }


def sentencepiece_tokenizer(labels: Labels) -> tuple[dict[str, Any], dict[str, Any]]:
    """The same of tokens that a decoder writes; their bytes are put together."""
    special = {labels.blank, *labels.silent}
    names: dict[str, int] = {}
    added = []
    for number, token in enumerate(labels.tokens):
        name = token if number in special else token.replace(" ", _SPACE)
        name = name if name not in names else f"<unused {number}>"
        names[name] = number
        if number in special or name.startswith("<unused "):
            added.append(_special(number, name))
    end = labels.tokens[labels.blank]
    tokenizer = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {
            "type": "Sequence",
            "decoders": [
                {"type": "Replace", "pattern": {"String": _SPACE}, "content": " "},
                {"type": "ByteFallback"},
                {"type": "Fuse"},
                {"type": "Strip", "content": " ", "start": 1, "stop": 0},
            ],
        },
        "model": {"type": "BPE", "vocab": names, "merges": [], "byte_fallback": True},
    }
    return tokenizer, {
        "tokenizer_class": "PreTrainedTokenizerFast",
        "eos_token": end,
        "pad_token": end,
        "clean_up_tokenization_spaces": False,
    }


def whisper_names(vocabulary: WhisperVocabulary) -> dict[int, str]:
    """Names of the tokens behind the text tokens, by their ids."""
    known = {
        vocabulary.end: END,
        vocabulary.start: START,
        vocabulary.previous: PREVIOUS,
        vocabulary.no_speech: NO_SPEECH[0],
        vocabulary.no_timestamps: NO_TIMESTAMPS,
        vocabulary.transcribe: TRANSCRIBE,
        vocabulary.translate: TRANSLATE,
        **{token: f"<|{code}|>" for code, token in (vocabulary.languages or {}).items()},
        **{
            token: f"<|{place * TIMESTAMP_STEP:.2f}|>"
            for place, token in enumerate(vocabulary.times)
        },
    }
    found = {}
    for token in range(vocabulary.end, vocabulary.size):
        text = vocabulary.content(token).decode("utf-8", "replace")
        found[token] = known.get(token) or text or _unused(token)
    return found


def whisper_pieces(vocabulary: WhisperVocabulary) -> dict[str, int]:
    """The text tokens in GPT-2's printable characters; of several alike the first is."""
    pieces: dict[str, int] = {}
    for number, piece in enumerate(vocabulary.pieces):
        spelled = spelled_in_gpt2(piece)
        pieces[spelled if spelled and spelled not in pieces else _unused(number)] = number
    return pieces


def _unused(number: int) -> str:
    """Of a token that no text has; both programs leave names of this form out."""
    return f"<|unused {number}|>"


def whisper_tokenizer(vocabulary: WhisperVocabulary) -> tuple[dict[str, Any], dict[str, Any]]:
    """``tokenizer.json`` and its settings; it can write tokens out, and cuts no text."""
    printed_too, pieces = {*vocabulary.added}, whisper_pieces(vocabulary)
    added = [
        *(_special(number, name) for name, number in pieces.items() if name == _unused(number)),
    ]
    added += [
        {**_special(number, name), "special": number not in printed_too}
        for number, name in whisper_names(vocabulary).items()
    ]
    tokenizer = {
        "version": "1.0",
        "added_tokens": added,
        "normalizer": None,
        "pre_tokenizer": {"type": "ByteLevel", "add_prefix_space": False, "use_regex": True},
        "post_processor": None,
        "decoder": {"type": "ByteLevel", "add_prefix_space": True, "use_regex": True},
        "model": {
            "type": "BPE",
            "vocab": pieces,
            "merges": [],
            "continuing_subword_prefix": "",
            "end_of_word_suffix": "",
        },
    }
    return tokenizer, {
        "tokenizer_class": "WhisperTokenizer",
        "bos_token": END,
        "eos_token": END,
        "pad_token": END,
        "unk_token": END,
        "clean_up_tokenization_spaces": False,
    }


def whisper_generation(vocabulary: WhisperVocabulary) -> dict[str, Any]:
    """``generation_config.json``: what begins a text, and what is never written."""
    languages = {f"<|{code}|>": token for code, token in (vocabulary.languages or {}).items()}
    tasks = {"transcribe": vocabulary.transcribe, "translate": vocabulary.translate}
    multilingual = {"lang_to_id": languages, "task_to_id": tasks} if languages else {}
    steering = {*range(vocabulary.end + 1, vocabulary.size)} - {*vocabulary.added}
    return {
        "bos_token_id": vocabulary.end,
        "eos_token_id": vocabulary.end,
        "pad_token_id": vocabulary.end,
        "decoder_start_token_id": vocabulary.start,
        "is_multilingual": bool(languages),
        "max_length": 448,
        "no_timestamps_token_id": vocabulary.no_timestamps,
        "return_timestamps": False,
        "suppress_tokens": sorted({*vocabulary.suppressed, *(steering - {*vocabulary.times})}),
        "begin_suppress_tokens": [*vocabulary.suppressed_first],
        **multilingual,
    }


def _special(number: int, name: str) -> dict[str, Any]:
    return {
        "id": number,
        "content": name,
        "single_word": False,
        "lstrip": False,
        "rstrip": False,
        "normalized": False,
        "special": True,
    }

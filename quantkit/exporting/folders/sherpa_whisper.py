"""Whisper as sherpa-onnx opens it: ``<name>-encoder.onnx``, ``<name>-decoder.onnx`` and tokens.

The encoder takes ``mel`` (clips, bands, frames), of any length up to 30 seconds, and gives
``n_layer_cross_k`` and ``n_layer_cross_v`` (layers, clips, steps, width). The decoder takes
``tokens``, these two, keys and values of the text so far in caches of (layers, clips, 448, width),
and ``offset``, how many tokens those are of; it gives ``logits`` and the caches. The encoder's
metadata have what steers the decoder; ``<name>-tokens.txt`` has the text tokens in base64
(sherpa-onnx 2.0, ``offline-whisper-model.cc``, ``scripts/whisper/export-onnx.py``).

In an artifact, all layers are one state of as many heads: (batch, layers, tokens, width).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.disk.files import sha256_of
from quantkit.errors import InputError, ModelError
from quantkit.exporting.folders.encoder_decoder import compared
from quantkit.exporting.folders.found_graph import FoundGraph, is_float, translated_graphs
from quantkit.exporting.folders.layout import (
    FolderFiles,
    Layout,
    graphs_called,
    optional,
    required,
)
from quantkit.exporting.left_products import put_weights_right
from quantkit.exporting.parity import ParityReport
from quantkit.exporting.saving import float_plan, save_artifact
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.interface import Declared
from quantkit.graph.joined import join, set_short_form
from quantkit.graph.model_file import read_model_file
from quantkit.graph.roles import CROSSING, DECODER, ENCODER, PAST, PRESENT
from quantkit.graph.translation import PREFIX, TRANSLATIONS, Step, Translation, Translations
from quantkit.runtime.encoder_decoder.network import ExportedNetwork
from quantkit.runtime.session import create_session
from quantkit.runtime.translated_session import TranslatedSession
from quantkit.tasks.names import WHISPER
from quantkit.text.whisper_vocabulary import (
    DECODER_POSITIONS,
    LARGEST_VOCABULARY,
    TIMESTAMP_COUNT,
    WhisperVocabulary,
    bytes_of_gpt2,
)
from quantkit.version import __version__

#: What its encoder takes.
HEARS = "mel"
#: Keys and values of the encoder's output, and of the text so far, of all layers.
CROSS = ("n_layer_cross_k", "n_layer_cross_v")
CACHES = ("n_layer_self_k_cache", "n_layer_self_v_cache")
_KEYS = ("0.key", "0.value")
# Layers before clips, and back.
_TURNED = (1, 0, 2, 3)
# Frames of the noise that artifact and original are compared on; the encoder takes any number.
_FRAMES = (400, 3_000)


class SherpaWhisper(Layout):
    """Whisper with caches of a fixed size."""

    name = "a Whisper of sherpa-onnx"

    def matches(self, folder: Path) -> bool:
        if (prefix := _prefix(folder)) is None:
            return False
        # Only the graph tells it from others of an encoder and a decoder.
        encoder = min(folder.glob(f"{prefix}encoder*.onnx"), key=lambda file: len(file.name))
        try:
            inputs = read_model_file(encoder).model.graph.input
        except ModelError:
            return False
        return [each.name for each in inputs] == [HEARS]

    def files(self, folder: Path) -> FolderFiles:
        prefix = _prefix(folder) or ""
        graphs = graphs_called(folder, (f"{prefix}encoder", f"{prefix}decoder"), self.name)
        return FolderFiles(graphs, optional(folder, f"{prefix}tokens.txt"))

    def export(self, folder: Path, destination: Path, name: str) -> ParityReport:
        files = self.files(folder)
        encoder, decoder = map(FoundGraph.of, files.graphs)
        tokens = required(folder, [f"{_prefix(folder) or ''}tokens.txt"], "what its tokens are")
        layers, width, bands, context = (
            _number(encoder, key)
            for key in ("n_text_layer", "n_text_state", "n_mels", "n_text_ctx")
        )
        if bands not in (80, 128) or context != DECODER_POSITIONS:
            raise ModelError(
                f"{encoder.file} has {bands} bands and {context} tokens in a window, and a Whisper "
                f"80 or 128 and {DECODER_POSITIONS}"
            )
        vocabulary = _vocabulary(encoder, tokens)
        translations = (
            _encoder(encoder, bands, (layers, width)),
            _decoder(decoder, (layers, width), vocabulary.size),
        )
        models, steps = translated_graphs(files.graphs, translations)
        for model in models:
            steps += put_weights_right(model)
        set_short_form(models[0])
        whole = join(models)
        del whole.graph.value_info[:]
        digest = sha256_of(files.main)
        info = ArtifactInfo(
            frontend=WhisperFrontend(mel_bands=bands),
            task=WHISPER,
            vocabulary=vocabulary,
            plan=float_plan(whole, digest) if is_float(whole) else None,
            model_sha256=digest,
            version=__version__,
            name=name,
            extra={TRANSLATIONS: Translations(translations).to_json()},
        )
        original = ExportedNetwork(
            *(
                TranslatedSession(create_session(file, threads=0), each)
                for file, each in zip(files.graphs, translations, strict=True)
            )
        )
        random = np.random.default_rng(0)
        clips = tuple(
            (f"{frames} frames of noise", random.uniform(-1, 1.5, (1, bands, frames)))
            for frames in _FRAMES
        )
        heard = tuple((words, noise.astype(np.float32)) for words, noise in clips)
        check = partial(compared, original, heard, vocabulary.end, on_a_grid=info.plan is None)
        report = save_artifact(whole, info, destination, check)
        return replace(report, notes=tuple(dict.fromkeys(steps)))


def _prefix(folder: Path) -> str | None:
    """What the names of all files begin with, such as ``tiny.en-``; None where there is no pair."""
    found = sorted(
        (file.name.split("encoder")[0] for file in folder.glob("*encoder*.onnx")),
        key=lambda each: (len(each), each),
    )
    for prefix in found:
        others = (folder.glob(f"{prefix}{part}*.onnx") for part in ("decoder", "joiner"))
        has_decoder, has_joiner = (any(True for _ in each) for each in others)
        if has_decoder and not has_joiner:
            return prefix
    return None


def _number(graph: FoundGraph, key: str, *, least: int = 1) -> int:
    said = graph.metadata.get(key, "")
    if not said.isdigit() or not least <= int(said) <= LARGEST_VOCABULARY:
        raise ModelError(
            f"{graph.file}: its metadata {key} is {said or 'missing'}, which sherpa-onnx needs"
        )
    return int(said)


def _numbers(graph: FoundGraph, key: str) -> tuple[int, ...]:
    said = [each for each in graph.metadata.get(key, "").split(",") if each]
    if not all(each.isdigit() for each in said):
        raise ModelError(f"{graph.file}: its metadata {key} is no list of tokens")
    return tuple(int(each) for each in said)


def _vocabulary(encoder: FoundGraph, tokens: Path) -> WhisperVocabulary:
    """The text tokens of the file, and what steers the decoder of the metadata."""
    from quantkit.models.whisper.token_names import tiktoken_names

    pieces = tiktoken_names(tokens)
    end = _number(encoder, "eot")
    if len(pieces) != end:
        raise InputError(
            f"{tokens} has {len(pieces)} text tokens, and {encoder.file} says {end}: they are of "
            "different models"
        )
    start, previous, transcribe, translate, silent, untimed, first = (
        _number(encoder, key, least=0)
        for key in (
            *("sot", "sot_prev", "transcribe", "translate", "no_speech", "no_timestamps"),
            "blank_id",
        )
    )
    # What may begin a sentence of a language model is never written, either.
    steering = (start, previous, transcribe, translate, silent, _number(encoder, "sot_lm", least=0))
    languages: dict[str, int] | None = None
    if multilingual := _number(encoder, "is_multilingual", least=0) > 0:
        codes = encoder.metadata.get("all_language_codes", "").split(",")
        ids = _numbers(encoder, "all_language_tokens")
        if len(codes) != len(ids):
            raise ModelError(
                f"{encoder.file}: it names {len(codes)} languages for {len(ids)} tokens"
            )
        languages = dict(zip(codes, ids, strict=True))
    outputs = _number(encoder, "n_vocab")
    is_timed = untimed + 1 + TIMESTAMP_COUNT <= outputs
    return WhisperVocabulary(
        pieces=tuple(map(bytes_of_gpt2, pieces)),
        end=end,
        start=start,
        previous=previous,
        no_speech=silent,
        no_timestamps=untimed,
        timestamps=untimed + 1 if is_timed else -1,
        languages=languages,
        transcribe=transcribe if multilingual else -1,
        translate=translate if multilingual else -1,
        suppressed=tuple(sorted({*_numbers(encoder, "non_speech_tokens"), *steering})),
        suppressed_first=(first, end),
        outputs=0 if is_timed and untimed + 1 + TIMESTAMP_COUNT == outputs else outputs,
    )


def _encoder(graph: FoundGraph, bands: int, sizes: tuple[int, int]) -> Translation:
    inner = f"{ENCODER}."
    return graph.translation(
        ENCODER,
        takes=(Declared.of("features", "float32", "clips", bands, "frames"),),
        gives=tuple(_state(f"{CROSSING}{key}", "steps", sizes) for key in _KEYS),
        before=(Step("identity", ("features",), (inner + graph.input(HEARS).name,)),),
        behind=tuple(
            Step("transpose", (inner + graph.output(cross).name,), (f"{CROSSING}{key}",), _TURNED)
            for cross, key in zip(CROSS, _KEYS, strict=True)
        ),
    )


def _decoder(graph: FoundGraph, sizes: tuple[int, int], outputs: int) -> Translation:
    tokens, offset = graph.input("tokens"), graph.input("offset")
    temporary, inner = f"{PREFIX}{DECODER}.", f"{DECODER}."
    length, new, end = (f"{temporary}{name}" for name in ("before", "new", "end"))
    before = [
        Step("cast", ("tokens",), (inner + tokens.name,), type=tokens.type),
        Step("size", (f"{PAST}{_KEYS[0]}",), (length,), (2,)),
        Step("cast", (length,), (inner + offset.name,), type=offset.type),
    ]
    behind = [
        Step("size", ("tokens",), (new,), (1,)),
        Step("sum", (length, new), (end,)),
    ]
    for key, cache, cross in zip(_KEYS, CACHES, CROSS, strict=True):
        past, turned = (f"{temporary}{word}.{key}" for word in ("past", "turned"))
        before += [
            Step("transpose", (f"{PAST}{key}",), (past,), _TURNED),
            Step(
                "pad", (past,), (inner + graph.input(f"in_{cache}").name,), (2, DECODER_POSITIONS)
            ),
            Step("transpose", (f"{CROSSING}{key}",), (inner + graph.input(cross).name,), _TURNED),
        ]
        made = inner + graph.output(f"out_{cache}").name
        behind += [
            Step("transpose", (made,), (turned,), _TURNED),
            Step("first", (turned, end), (f"{PRESENT}{key}",), (2,)),
        ]
    logits = graph.output("logits")
    chosen = f"{temporary}chosen"
    behind += [
        Step("take", (inner + logits.name, "positions"), (chosen,), (1,)),
        Step("log_softmax", (chosen,), ("log_probs",)),
    ]
    return graph.translation(
        DECODER,
        takes=(
            Declared.of("tokens", "int64", "batch", "count"),
            Declared.of("positions", "int64", "wanted"),
            *(_state(f"{PAST}{key}", "past", sizes) for key in _KEYS),
            *(_state(f"{CROSSING}{key}", "steps", sizes) for key in _KEYS),
        ),
        gives=(
            Declared.of("log_probs", "float32", "batch", "wanted", outputs),
            *(_state(f"{PRESENT}{key}", "present", sizes) for key in _KEYS),
        ),
        before=tuple(before),
        behind=tuple(behind),
    )


def _state(name: str, length: str, sizes: tuple[int, int]) -> Declared:
    """(batch, layers, tokens, width)."""
    layers, width = sizes
    return Declared.of(name, "float32", "batch", layers, length, width)

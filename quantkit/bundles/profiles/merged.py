"""Whisper and Moonshine with a merged decoder: for transformers.js, onnx-asr and sherpa-onnx."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar

import onnx

from quantkit.bundles.profiles.base import Form, Source, Written
from quantkit.bundles.profiles.feature_ctc import (
    onnx_asr_opening,
    sherpa_opening,
    write_onnx_asr_config,
)
from quantkit.bundles.profiles.graphs import output_sizes, write_graph
from quantkit.bundles.profiles.label_files import TOKENS, write_base64
from quantkit.bundles.profiles.merged_graphs import as_merged, heads_of, keys_of
from quantkit.bundles.profiles.transformers_files import (
    sentencepiece_tokenizer,
    transformers_opening,
    whisper_generation,
    whisper_names,
    whisper_pieces,
    whisper_tokenizer,
    write_settings,
)
from quantkit.disk.files import write_json
from quantkit.exporting.folders.merged_moonshine import MoonshineFolder
from quantkit.exporting.folders.merged_whisper import WhisperFolder
from quantkit.exporting.folders.onnx_community import STEMS, SUBFOLDER
from quantkit.graph.joined import split
from quantkit.graph.roles import DECODER, ENCODER
from quantkit.graph.translating import set_kept
from quantkit.runtime.moonshine.settings import moonshine_settings
from quantkit.tasks.names import MOONSHINE, WHISPER
from quantkit.tasks.whisper import whisper_vocabulary
from quantkit.text.whisper_vocabulary import DECODER_POSITIONS, WhisperVocabulary

# Steps that Whisper's encoder makes of a window.
_STEPS = 1_500
# Of the token that ends a text in Moonshine's graphs, as sherpa-onnx has it.
_START, _END = 1, 2


def vocabulary_of(source: Source) -> WhisperVocabulary:
    """The vocabulary of a Whisper.

    Raises:
        ModelError: the artifact has none.
    """
    return whisper_vocabulary(source.info, str(source.path))


def _write_merged(source: Source, folder: Path, hears: str, outputs: int) -> tuple[Path, ...]:
    """Both graphs; those of a folder of this form as they were there."""
    found = source.translations
    if found is not None and found.merged:
        whole = onnx.ModelProto()
        whole.CopyFrom(source.whole)
        set_kept(whole, kept=True)
        models = split(whole)
    else:
        parts = source.parts()
        models = as_merged(parts[ENCODER], parts[DECODER], hears, outputs)
    return tuple(
        write_graph(model, folder / f"{stem}.onnx", {})
        for model, stem in zip(models, STEMS, strict=True)
    )


def _sizes(source: Source) -> dict[str, int]:
    """Layers, heads and width of the decoder, which is all that programs need to know."""
    decoder = source.parts()[DECODER]
    heads, size = heads_of(decoder)
    return {"layers": len(keys_of(decoder)) // 2, "heads": heads, "width": heads * size}


class _Whisper(Form):
    tasks: ClassVar[frozenset[str]] = frozenset((WHISPER,))

    def why_not(self, source: Source) -> str:
        vocabulary_of(source)
        sizes = output_sizes(source.parts()[ENCODER], "features")
        usual = getattr(source.frontend, "window_frames", 0)
        if len(sizes) == 3 and isinstance(sizes[2], int) and sizes[2] not in (0, usual):
            return f"its encoder takes {sizes[2]} frames, and the program gives {usual}"
        return ""


class TransformersWhisper(_Whisper):
    """``WhisperForConditionalGeneration``."""

    name = "WhisperForConditionalGeneration"

    def write(self, source: Source, folder: Path) -> Written:
        vocabulary = vocabulary_of(source)
        place = folder / SUBFOLDER
        graphs = _write_merged(source, place, WhisperFolder.hears, vocabulary.size)
        tokenizer, settings = whisper_tokenizer(vocabulary)
        generation = whisper_generation(vocabulary)
        bands = int(getattr(source.frontend, "mel_bands", 0))
        write_settings(
            folder,
            config=_whisper_config(source, bands, generation),
            preprocessor=_whisper_extractor(source, bands),
            tokenizer=tokenizer,
            tokenizer_config=settings,
            generation=generation,
        )
        return Written(graphs, transformers_opening("automatic-speech-recognition"), "js")


def _whisper_config(source: Source, bands: int, generation: dict[str, Any]) -> dict[str, Any]:
    sizes = _sizes(source)
    return {
        "model_type": "whisper",
        "architectures": [TransformersWhisper.name],
        "is_encoder_decoder": True,
        "vocab_size": vocabulary_of(source).size,
        "num_mel_bins": bands,
        "d_model": sizes["width"],
        "encoder_layers": sizes["layers"],
        "encoder_attention_heads": sizes["heads"],
        "decoder_layers": sizes["layers"],
        "decoder_attention_heads": sizes["heads"],
        "max_source_positions": _STEPS,
        "max_target_positions": DECODER_POSITIONS,
        **{
            name: generation[name]
            for name in ("bos_token_id", "eos_token_id", "pad_token_id", "decoder_start_token_id")
        },
    }


def _whisper_extractor(source: Source, bands: int) -> dict[str, Any]:
    frontend: Any = source.frontend
    seconds = frontend.window_frames * frontend.hop // frontend.sample_rate
    return {
        "feature_extractor_type": "WhisperFeatureExtractor",
        "processor_class": "WhisperProcessor",
        "feature_size": bands,
        "sampling_rate": frontend.sample_rate,
        "hop_length": frontend.hop,
        "n_fft": frontend.window,
        "chunk_length": seconds,
        "n_samples": seconds * frontend.sample_rate,
        "nb_max_frames": frontend.window_frames,
        "padding_value": 0.0,
    }


class OnnxAsrWhisper(_Whisper):
    """``whisper``."""

    name = "whisper"

    def why_not(self, source: Source) -> str:
        if not vocabulary_of(source).is_multilingual:
            return "it is English-only, and the program names a language and a task"
        return super().why_not(source)

    def write(self, source: Source, folder: Path) -> Written:
        vocabulary = vocabulary_of(source)
        graphs = _write_merged(source, folder, WhisperFolder.hears, vocabulary.size)
        write_json(folder / "vocab.json", whisper_pieces(vocabulary))
        added = {name: number for number, name in whisper_names(vocabulary).items()}
        write_json(folder / "added_tokens.json", added)
        bands = int(getattr(source.frontend, "mel_bands", 0))
        write_onnx_asr_config(folder, self.name, num_mel_bins=bands)
        return Written(graphs, onnx_asr_opening(self.name))


class _Moonshine(Form):
    tasks: ClassVar[frozenset[str]] = frozenset((MOONSHINE,))

    def why_not(self, source: Source) -> str:
        if source.frontend.sample_rate != 16_000:
            return f"it hears {source.frontend.sample_rate} Hz, and the program 16000"
        return ""


class TransformersMoonshine(_Moonshine):
    """``MoonshineForConditionalGeneration``."""

    name = "MoonshineForConditionalGeneration"

    def write(self, source: Source, folder: Path) -> Written:
        labels, place = source.labels, folder / SUBFOLDER
        graphs = _write_merged(source, place, MoonshineFolder.hears, len(labels))
        tokenizer, settings = sentencepiece_tokenizer(labels)
        start = moonshine_settings(source.info.extra).start
        sizes = _sizes(source)
        tokens = {
            "bos_token_id": start,
            "eos_token_id": labels.blank,
            "pad_token_id": labels.blank,
            "decoder_start_token_id": start,
        }
        heads = {
            f"{side}_num_{what}": sizes["layers" if what == "hidden_layers" else "heads"]
            for side in (ENCODER, DECODER)
            for what in ("hidden_layers", "attention_heads", "key_value_heads")
        }
        write_settings(
            folder,
            config={
                "model_type": "moonshine",
                "architectures": [self.name],
                "is_encoder_decoder": True,
                "vocab_size": len(labels),
                "hidden_size": sizes["width"],
                **heads,
                **tokens,
            },
            preprocessor={
                "feature_extractor_type": "MoonshineFeatureExtractor",
                "processor_class": "MoonshineProcessor",
                "feature_size": 1,
                "padding_value": 0.0,
                "sampling_rate": source.frontend.sample_rate,
            },
            tokenizer=tokenizer,
            tokenizer_config=settings,
            generation={**tokens, "max_length": 194},
        )
        return Written(graphs, transformers_opening("automatic-speech-recognition"), "js")


class SherpaMoonshineMerged(_Moonshine):
    """What ``from_moonshine_v2`` opens."""

    name = "moonshine_v2"

    def why_not(self, source: Source) -> str:
        start = moonshine_settings(source.info.extra).start
        if (start, source.labels.blank) != (_START, _END):
            return f"its texts do not begin with token {_START} and end with {_END}"
        return super().why_not(source)

    def write(self, source: Source, folder: Path) -> Written:
        graphs = _write_merged(source, folder, MoonshineFolder.hears, len(source.labels))
        write_base64(folder / TOKENS, source.labels)
        files = dict(zip((ENCODER, DECODER), (graph.name for graph in graphs), strict=True))
        return Written(graphs, sherpa_opening("moonshine_v2", files))

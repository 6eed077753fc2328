"""Models that take waveforms: CTC for sherpa-onnx, CTC and classifiers for transformers.js."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar

import numpy as np
import onnx
import onnxruntime

from quantkit.arrays import FloatArray
from quantkit.bundles.profiles.base import Form, Source, Written
from quantkit.bundles.profiles.feature_ctc import sherpa_opening
from quantkit.bundles.profiles.graphs import Names, give_interface, silence, write_graph
from quantkit.bundles.profiles.label_files import (
    TOKENS,
    has_bytes,
    printed,
    why_no_lines,
    write_lines,
)
from quantkit.bundles.profiles.transformers_files import (
    ctc_tokenizer,
    transformers_opening,
    write_settings,
)
from quantkit.disk.temporary import TemporaryFolder
from quantkit.exporting.folders.nemo_transducer import RATE
from quantkit.exporting.folders.onnx_community import SUBFOLDER
from quantkit.exporting.frontend_graph import can_fuse, fuse_frontend
from quantkit.graph.interface import Declared
from quantkit.graph.roles import MODEL
from quantkit.graph.translation import Step
from quantkit.runtime.session import create_session
from quantkit.tasks.names import CLASSIFICATION, CTC

# Seconds of noise, and how far log-probabilities of the same clip may be apart.
_SECONDS, _TOLERANCE = 1.0, 1e-3


def why_no_waveforms(source: Source) -> str:
    """Why a model cannot take waveforms; empty where it does, or its front end can be put in."""
    if source.info.fused or can_fuse(source.frontend):
        return ""
    kind = getattr(source.frontend, "kind", type(source.frontend).__name__)
    return f"its front end ({kind}) cannot be part of a graph"


def _with_waveforms(source: Source) -> onnx.ModelProto:
    if source.info.fused:
        (model,) = source.parts().values()
        return model
    whole = onnx.ModelProto()
    whole.CopyFrom(source.whole)
    return fuse_frontend(whole, source.frontend)


def _one_clip(model: onnx.ModelProto, audio: str, scores: str, *, per_frame: bool) -> None:
    """Give the graph one input (1, samples) and one output, in place."""
    names = Names(MODEL)
    rows = ("rows",) if per_frame else ()
    labels = model.graph.output[0].type.tensor_type.shape.dim[-1].dim_value
    heard = names.ours("log_probs")
    give_interface(
        model,
        MODEL,
        takes=(Declared.of(audio, "float32", 1, "samples"),),
        gives=(Declared.of(scores, "float32", 1, *rows, labels or "labels"),),
        before=(
            Step("identity", (audio,), (names.ours("waveform"),)),
            Step("size", (audio,), (names.ours("lengths"),), (1,)),
        ),
        behind=(
            (Step("first", (heard, names.ours("output_lengths")), (scores,), (1,)),)
            if per_frame
            else (Step("identity", (heard,), (scores,)),)
        ),
    )


class SherpaOmnilingual(Form):
    """What ``from_omnilingual_asr_ctc`` opens: waveforms of mean 0 and variance 1."""

    name = "omnilingual_asr_ctc"
    tasks: ClassVar[frozenset[str]] = frozenset((CTC,))

    def why_not(self, source: Source) -> str:
        if reason := why_no_waveforms(source) or why_no_lines(source.labels):
            return reason
        if source.frontend.sample_rate != RATE:
            return f"it hears {source.frontend.sample_rate} Hz, and the program {RATE}"
        if (off := _change_by_level(source)) > _TOLERANCE:
            return (
                "the program gives each clip mean 0 and variance 1, and this model hears the level "
                f"of a clip (log-probabilities change by {off:.2g})"
            )
        return ""

    def write(self, source: Source, folder: Path) -> Written:
        model = _with_waveforms(source)
        silence(model, source.labels)
        _one_clip(model, "x", "logits", per_frame=True)
        graph = write_graph(model, folder / "model.onnx", {"model_type": "omnilingual-asr"})
        write_lines(folder / TOKENS, source.labels)
        opening = sherpa_opening("omnilingual_asr_ctc", {"model": graph.name})
        return Written((graph,), opening, frontend_added=not source.info.fused)


def _change_by_level(source: Source) -> float:
    """How far log-probabilities are apart of clips as they are, and of mean 0 and variance 1."""
    model = _with_waveforms(source)
    worst = 0.0
    with TemporaryFolder("level") as scratch:
        session = create_session(write_graph(model, scratch / "model.onnx", {}))
        for seed, level in enumerate((0.003, 0.03, 0.3)):
            random = np.random.default_rng(seed)
            noise = random.standard_normal(round(_SECONDS * RATE)).cumsum() * level / 50
            clip = (noise - noise[0]).astype(np.float32)
            even = ((clip - clip.mean()) / np.sqrt(clip.var() + 1e-5)).astype(np.float32)
            one, other = (_scores(session, each) for each in (clip, even))
            worst = max(worst, float(np.abs(one - other).max()))
    return worst


def _scores(session: onnxruntime.InferenceSession, clip: FloatArray) -> FloatArray:
    feed = {"waveform": clip[None], "lengths": np.array([clip.size])}
    found: FloatArray = session.run(["log_probs"], feed)[0]
    return found


class TransformersWaveforms(Form):
    """``Wav2Vec2ForCTC``, which hears waveforms as they are."""

    name = "Wav2Vec2ForCTC"
    tasks: ClassVar[frozenset[str]] = frozenset((CTC,))

    def why_not(self, source: Source) -> str:
        if reason := why_no_waveforms(source):
            return reason
        if has_bytes(source.labels):
            return "its labels stand for bytes, which the tokenizer of CTC does not put together"
        texts = [*printed(source.labels)]
        return "two of its labels are printed alike" if len({*texts}) < len(texts) else ""

    def write(self, source: Source, folder: Path) -> Written:
        model = _with_waveforms(source)
        silence(model, source.labels)
        _one_clip(model, "input_values", "logits", per_frame=True)
        graph = write_graph(model, folder / SUBFOLDER / "model.onnx", {})
        labels = source.labels
        tokenizer, settings = ctc_tokenizer(labels)
        write_settings(
            folder,
            config={
                "model_type": "wav2vec2",
                "architectures": [self.name],
                "vocab_size": len(labels),
                "pad_token_id": labels.blank,
            },
            preprocessor=_extractor(source.frontend.sample_rate, "Wav2Vec2Processor"),
            tokenizer=tokenizer,
            tokenizer_config=settings,
        )
        opening = transformers_opening("automatic-speech-recognition")
        return Written((graph,), opening, "js", frontend_added=not source.info.fused)


class TransformersClassifier(Form):
    """``Wav2Vec2ForSequenceClassification``."""

    name = "Wav2Vec2ForSequenceClassification"
    tasks: ClassVar[frozenset[str]] = frozenset((CLASSIFICATION,))

    def why_not(self, source: Source) -> str:
        return why_no_waveforms(source)

    def write(self, source: Source, folder: Path) -> Written:
        model = _with_waveforms(source)
        _one_clip(model, "input_values", "logits", per_frame=False)
        graph = write_graph(model, folder / SUBFOLDER / "model.onnx", {})
        classes = source.info.classes
        write_settings(
            folder,
            config={
                "model_type": "wav2vec2",
                "architectures": [self.name],
                "id2label": {str(number): name for number, name in enumerate(classes)},
                "label2id": {name: number for number, name in enumerate(classes)},
            },
            preprocessor=_extractor(source.frontend.sample_rate, "Wav2Vec2FeatureExtractor"),
        )
        opening = transformers_opening("audio-classification")
        return Written((graph,), opening, "js", frontend_added=not source.info.fused)


def _extractor(rate: int, processor: str) -> dict[str, object]:
    """Samples as they are: what a model wants more is part of its graph."""
    processors = {} if processor.endswith("Extractor") else {"processor_class": processor}
    return {
        "feature_extractor_type": "Wav2Vec2FeatureExtractor",
        **processors,
        "do_normalize": False,
        "feature_size": 1,
        "sampling_rate": rate,
        "return_attention_mask": False,
    }

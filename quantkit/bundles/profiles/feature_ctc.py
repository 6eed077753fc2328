"""CTC models of features: as NeMo's for onnx-asr and sherpa-onnx, as icefall's for sherpa-onnx."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from pathlib import Path
from typing import ClassVar

import onnx

from quantkit.audio.gigaam_frontend import GigaamFrontend
from quantkit.audio.hann_kaldi_frontend import HannKaldiFrontend
from quantkit.audio.kaldi_frontend import KaldiFrontend
from quantkit.audio.nemo_frontend import NemoFrontend, NemoRawFrontend
from quantkit.audio.sherpa_nemo_frontend import SherpaNemoFrontend
from quantkit.bundles.profiles.base import Form, Source, Written
from quantkit.bundles.profiles.graphs import (
    Names,
    frames_per_row,
    give_interface,
    silence,
    write_graph,
)
from quantkit.bundles.profiles.label_files import TOKENS, why_no_lines, write_lines
from quantkit.disk.files import write_json
from quantkit.exporting.folders.nemo_ctc import STEM, VOCABULARY
from quantkit.exporting.folders.nemo_transducer import RATE
from quantkit.graph.interface import Declared
from quantkit.graph.roles import MODEL
from quantkit.graph.translation import Step
from quantkit.models.pretrained_files import CONFIG_NAME
from quantkit.tasks.names import CTC


def why_not_nemo(source: Source) -> str:
    """Why a model does not hear NeMo's features as a program makes them; empty where it does.

    What hears them as sherpa-onnx makes them was trained on NeMo's own, which are nearly the same.
    """
    frontend = source.frontend
    if source.info.fused:
        return "it takes waveforms, and features are made by the program"
    if isinstance(frontend, SherpaNemoFrontend) and frontend.sample_rate == RATE:
        return ""
    if not isinstance(frontend, NemoFrontend) or isinstance(frontend, NemoRawFrontend):
        return f"it does not hear NeMo's normalised log-mel features, but {_kind(source)}"
    if frontend != NemoFrontend.for_rate(RATE, frontend.mel_bands):
        return f"its features have other settings than NeMo's at {RATE} Hz"
    return ""


def why_not_gigaam(source: Source) -> str:
    """The same of GigaAM's features as sherpa-onnx makes them."""
    if source.info.fused:
        return "it takes waveforms, and features are made by the program"
    if source.frontend != HannKaldiFrontend.for_rate(RATE):
        return f"it does not hear GigaAM's features of sherpa-onnx, but {_kind(source)}"
    return ""


def why_not_kaldi(source: Source) -> str:
    """The same of Kaldi's filter bank."""
    if source.info.fused:
        return "it takes waveforms, and features are made by the program"
    if source.frontend != KaldiFrontend.for_rate(RATE, 80):
        return f"it does not hear Kaldi's 80 bands of samples in [-1, 1], but {_kind(source)}"
    return ""


def why_blank_not_last(source: Source) -> str:
    """Why a program that takes the last label for the blank cannot; empty where it can."""
    if source.labels.blank != len(source.labels) - 1:
        return "its blank is not its last label"
    return ""


def _kind(source: Source) -> str:
    return str(getattr(source.frontend, "kind", type(source.frontend).__name__))


class _FeatureCtc(Form):
    """One graph that takes features and gives log-probabilities."""

    tasks: ClassVar[frozenset[str]] = frozenset((CTC,))
    #: Names of audio, its length, and the output.
    values: ClassVar[tuple[str, str, str]]
    #: Whether the axis of bands lies before that of frames.
    bands_first: ClassVar[bool] = True

    def _graph(self, source: Source, *, lengths: str = "") -> tuple[onnx.ModelProto, int]:
        """With the program's interface, and frames for each of its rows.

        Args:
            lengths: name of an output with the number of rows; empty: there is none.
        """
        (model,) = source.parts().values()
        bands = int(getattr(source.frontend, "mel_bands", 0))
        stride = frames_per_row(model, bands)
        silence(model, source.labels)
        audio, length, scores = self.values
        names = Names(MODEL)
        turned = Step("transpose", (audio,), (names.ours("features"),), (0, 2, 1))
        same = Step("identity", (audio,), (names.ours("features"),))
        axes = (bands, "frames") if self.bands_first else ("frames", bands)
        gives = [Declared.of(scores, "float32", "batch", "rows", len(source.labels))]
        behind = [Step("identity", (names.ours("log_probs"),), (scores,))]
        if lengths:
            gives.append(Declared.of(lengths, "int64", "batch"))
            behind.append(Step("identity", (names.ours("output_lengths"),), (lengths,)))
        give_interface(
            model,
            MODEL,
            takes=(
                Declared.of(audio, "float32", "batch", *axes),
                Declared.of(length, "int64", "batch"),
            ),
            gives=gives,
            before=(
                turned if self.bands_first else same,
                Step("identity", (length,), (names.ours("lengths"),)),
            ),
            behind=behind,
        )
        return model, stride


class OnnxAsrNemoCtc(_FeatureCtc):
    """``nemo-conformer-ctc``."""

    name = "nemo-conformer-ctc"
    values = ("audio_signal", "length", "logprobs")

    def why_not(self, source: Source) -> str:
        return why_not_nemo(source) or why_no_lines(source.labels)

    def write(self, source: Source, folder: Path) -> Written:
        model, stride = self._graph(source)
        graph = write_graph(model, folder / f"{STEM}.onnx", {})
        write_lines(folder / VOCABULARY, source.labels)
        bands = getattr(source.frontend, "mel_bands", 0)
        write_onnx_asr_config(folder, self.name, features_size=bands, subsampling_factor=stride)
        return Written((graph,), onnx_asr_opening(self.name))


def gigaam_version(source: Source) -> str:
    """Of GigaAM's features as onnx-asr makes them; empty where a model hears others."""
    versions = (2, 3)
    known = (GigaamFrontend.of_version(version, RATE) for version in versions)
    same = (
        version for version, each in zip(versions, known, strict=True) if each == source.frontend
    )
    return next((f"v{version}" for version in same), "")


class OnnxAsrGigaamCtc(_FeatureCtc):
    """``gigaam-v2-ctc`` and ``gigaam-v3-ctc``."""

    name = "gigaam-v2-ctc or gigaam-v3-ctc"
    values = ("features", "feature_lengths", "log_probs")

    def why_not(self, source: Source) -> str:
        if source.info.fused or not gigaam_version(source):
            return "it does not hear GigaAM's features"
        return why_no_lines(source.labels)

    def write(self, source: Source, folder: Path) -> Written:
        model, stride = self._graph(source)
        version = gigaam_version(source)
        graph = write_graph(model, folder / f"{version}_ctc.onnx", {})
        write_lines(folder / f"{version}_vocab.txt", source.labels)
        write_onnx_asr_config(folder, "gigaam", version=version, subsampling_factor=stride)
        return Written((graph,), onnx_asr_opening(f"gigaam-{version}-ctc"))


class _SherpaNemo(_FeatureCtc):
    """What ``from_nemo_ctc`` opens."""

    values = ("audio_signal", "length", "logprobs")
    metadata: ClassVar[dict[str, str]]

    @abstractmethod
    def _why_not_heard(self, source: Source) -> str:
        """Of its features."""

    def why_not(self, source: Source) -> str:
        return self._why_not_heard(source) or why_no_lines(source.labels)

    def write(self, source: Source, folder: Path) -> Written:
        model, stride = self._graph(source)
        said = {
            "vocab_size": str(len(source.labels)),
            "subsampling_factor": str(stride),
            "model_type": "EncDecCTCModelBPE",
            **self.metadata,
        }
        graph = write_graph(model, folder / f"{STEM}.onnx", said)
        write_lines(folder / TOKENS, source.labels)
        return Written((graph,), sherpa_opening("nemo_ctc", {"model": graph.name}))


class SherpaNemoCtcForm(_SherpaNemo):
    """NeMo's."""

    name = "nemo_ctc"
    metadata: ClassVar[dict[str, str]] = {"normalize_type": "per_feature"}

    def _why_not_heard(self, source: Source) -> str:
        reason = why_not_nemo(source)
        if not reason and getattr(source.frontend, "mel_bands", 0) != 80:
            # Its recogniser of CTC models makes 80 bands unless the program that calls it asks.
            return "it hears other than 80 bands"
        return reason


class SherpaGigaamCtcForm(_SherpaNemo):
    """GigaAM's."""

    name = "nemo_ctc of GigaAM"
    metadata: ClassVar[dict[str, str]] = {"normalize_type": "", "is_giga_am": "1"}

    def _why_not_heard(self, source: Source) -> str:
        return why_not_gigaam(source)


class SherpaZipformerCtc(_FeatureCtc):
    """icefall's."""

    name = "zipformer_ctc"
    values = ("x", "x_lens", "log_probs")
    bands_first = False

    def why_not(self, source: Source) -> str:
        return why_not_kaldi(source) or why_no_lines(source.labels)

    def write(self, source: Source, folder: Path) -> Written:
        model, _ = self._graph(source, lengths="log_probs_len")
        graph = write_graph(model, folder / f"{STEM}.onnx", {"model_type": "zipformer2_ctc"})
        write_lines(folder / TOKENS, source.labels)
        return Written((graph,), sherpa_opening("zipformer_ctc", {"model": graph.name}))


def write_onnx_asr_config(folder: Path, kind: str, **settings: object) -> None:
    """``config.json``, by which onnx-asr knows what it opens."""
    write_json(folder / CONFIG_NAME, {"model_type": kind, **settings})


def onnx_asr_opening(kind: str) -> str:
    """How onnx-asr opens a folder."""
    return (
        "import onnx_asr\n\n"
        f'model = onnx_asr.load_model("{kind}", folder)\n'
        'print(model.recognize("clip.wav"))\n'
    )


def sherpa_opening(
    kind: str, files: dict[str, str], *, tokens: str = TOKENS, options: Sequence[str] = ()
) -> str:
    """How sherpa-onnx opens a folder.

    Args:
        kind: what stands behind ``from_`` in the name of the function.
        files: its arguments, and names of files.
        options: further arguments.
    """
    named = {**files, "tokens": tokens}
    given = [f'{name}=f"{{folder}}/{file}"' for name, file in named.items()] + [*options]
    lines = "".join(f"    {each},\n" for each in given)
    return (
        "import sherpa_onnx\n\n"
        f"recognizer = sherpa_onnx.OfflineRecognizer.from_{kind}(\n{lines})\n"
        "stream = recognizer.create_stream()\n"
        "stream.accept_waveform(rate, samples)  # float32 in [-1, 1]\n"
        "recognizer.decode_stream(stream)\n"
        "print(stream.result.text)\n"
    )

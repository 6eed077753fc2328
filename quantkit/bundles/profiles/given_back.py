"""Models of a published folder, as the program that it was for opens them."""

from __future__ import annotations

from abc import abstractmethod
from pathlib import Path
from typing import ClassVar

import onnx

from quantkit.bundles.profiles.base import Form, Source, Written
from quantkit.bundles.profiles.feature_ctc import (
    gigaam_version,
    onnx_asr_opening,
    sherpa_opening,
    write_onnx_asr_config,
)
from quantkit.bundles.profiles.graphs import write_graph
from quantkit.bundles.profiles.label_files import TOKENS, why_no_lines, write_base64, write_lines
from quantkit.graph.joined import split
from quantkit.graph.translating import set_kept
from quantkit.runtime.transducer.settings import transducer_settings
from quantkit.tasks.names import (
    MOONSHINE,
    STREAMING_CTC,
    STREAMING_TRANSDUCER,
    TRANSDUCER,
)


def _write(source: Source, folder: Path) -> tuple[Path, ...]:
    """The graphs of the folder under the names that they had there."""
    found = source.translations
    assert found is not None  # why_not
    whole = onnx.ModelProto()
    whole.CopyFrom(source.whole)
    set_kept(whole, kept=True)
    entries = [each.metadata for each in found.graphs]
    return tuple(
        write_graph(model, folder / Path(each.file).name, said)
        for model, each, said in zip(split(whole), found.graphs, entries, strict=True)
    )


class _GivenBack(Form):
    def why_not(self, source: Source) -> str:
        if source.translations is None:
            return "it did not come from a folder of the program"
        return self._why_not_ours(source) or why_no_lines(source.labels)

    @abstractmethod
    def _why_not_ours(self, source: Source) -> str:
        """Of a model that came from a published folder."""


class SherpaStreaming(_GivenBack):
    """Models that hear in chunks."""

    name = "a model in chunks"
    tasks: ClassVar[frozenset[str]] = frozenset((STREAMING_CTC, STREAMING_TRANSDUCER))

    def why_not(self, source: Source) -> str:
        if source.translations is None:
            return "how its chunks follow one another is known to quantkit alone"
        return why_no_lines(source.labels)

    def _why_not_ours(self, source: Source) -> str:
        return ""

    def write(self, source: Source, folder: Path) -> Written:
        graphs = _write(source, folder)
        write_lines(folder / TOKENS, source.labels)
        found = source.translations
        is_nemo = found is not None and any(
            each.name == "audio_signal" for each in found.graphs[0].inputs
        )
        names = ("encoder", "decoder", "joiner")
        if len(graphs) == len(names):
            files = dict(zip(names, (graph.name for graph in graphs), strict=True))
            kind = "transducer"
        else:
            files = {"model": graphs[0].name}
            kind = "nemo_ctc" if is_nemo else "zipformer2_ctc"
        opening = sherpa_opening(kind, files).replace("OfflineRecognizer", "OnlineRecognizer")
        head, _, _ = opening.partition("recognizer.decode_stream")
        return Written(
            graphs,
            f"{head}stream.input_finished()\nwhile recognizer.is_ready(stream):\n"
            "    recognizer.decode_stream(stream)\nprint(recognizer.get_result(stream))\n",
        )


class SherpaMoonshineFour(_GivenBack):
    """What ``from_moonshine`` opens."""

    name = "moonshine in four graphs"
    tasks: ClassVar[frozenset[str]] = frozenset((MOONSHINE,))

    def why_not(self, source: Source) -> str:
        found = source.translations
        return "" if found is not None and found.two_decoders else "it is not of four graphs"

    def _why_not_ours(self, source: Source) -> str:
        return ""

    def write(self, source: Source, folder: Path) -> Written:
        graphs = _write(source, folder)
        write_base64(folder / TOKENS, source.labels)
        names = ("preprocessor", "encoder", "uncached_decoder", "cached_decoder")
        files = dict(zip(names, (graph.name for graph in graphs), strict=True))
        return Written(graphs, sherpa_opening("moonshine", files))


_GIGAAM = "_rnnt_"


class OnnxAsrGigaam(_GivenBack):
    """GigaAM's transducers."""

    name = "gigaam-…-rnnt"
    tasks: ClassVar[frozenset[str]] = frozenset((TRANSDUCER,))

    def _why_not_ours(self, source: Source) -> str:
        found = source.translations
        is_gigaam = found is not None and all(_GIGAAM in each.file for each in found.graphs)
        return "" if is_gigaam else "it did not come from a folder of GigaAM"

    def write(self, source: Source, folder: Path) -> Written:
        graphs = _write(source, folder)
        version, _, _ = graphs[0].name.partition(_GIGAAM)
        stem = f"{version}_rnnt"
        vocabulary = f"{stem if 'e2e' in version else version}_vocab.txt"
        write_lines(folder / vocabulary, source.labels)
        settings = transducer_settings(source.info.extra)
        write_onnx_asr_config(
            folder,
            "gigaam",
            version=gigaam_version(source),
            max_tokens_per_step=settings.most_per_frame,
            subsampling_factor=settings.subsampling or 4,
        )
        return Written(graphs, onnx_asr_opening(f"gigaam-{stem.replace('_', '-')}"))

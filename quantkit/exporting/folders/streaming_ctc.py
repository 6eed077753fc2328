"""CTC models that hear in chunks, as sherpa-onnx opens them: one graph and ``tokens.txt``.

A streaming Zipformer of icefall takes ``x`` (batch, T, 80) and its caches and gives ``log_probs``;
a FastConformer of NeMo takes ``audio_signal`` (batch, bands, window_size), ``length`` and three
caches and gives ``logprobs`` and ``encoded_lengths`` (sherpa-onnx 2.0, ``online-zipformer2-ctc-
model.cc``, ``online-nemo-ctc-model.cc``).
"""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from quantkit.audio.frontends import AnyFrontend
from quantkit.audio.kaldi_frontend import KaldiFrontend
from quantkit.audio.running_normalization import Expected
from quantkit.conversion.convert import convert
from quantkit.disk.files import sha256_of
from quantkit.errors import InputError, ModelError, ParityError
from quantkit.exporting.folders.caches import (
    Caches,
    caches_of,
    chunk_settings,
    nemo_features,
    says_chunks,
)
from quantkit.exporting.folders.found_graph import FoundGraph, difference, is_float, tolerance_of
from quantkit.exporting.folders.layout import FolderFiles, Layout, optional
from quantkit.exporting.parity import ParityCase, ParityReport
from quantkit.exporting.saving import float_plan, save_artifact
from quantkit.graph.artifact import open_files
from quantkit.graph.editor import name_all_nodes
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.interface import Declared
from quantkit.graph.joined import add_prefix, set_roles
from quantkit.graph.model_file import read_model_file
from quantkit.graph.roles import MODEL, GraphRole
from quantkit.graph.translating import translate
from quantkit.graph.translation import TRANSLATIONS, Step, Translation, Translations
from quantkit.graph.weight_holders import require_finite_weights
from quantkit.runtime.graph_sessions import GraphSessions
from quantkit.runtime.session import create_session
from quantkit.runtime.streaming.chunks import chunks_of
from quantkit.runtime.streaming.model import features_in_chunks, silence_of
from quantkit.runtime.streaming.network import ChunkNetwork
from quantkit.runtime.streaming.recognizer import CtcHearing
from quantkit.runtime.streaming.settings import STREAMING, StreamingSettings
from quantkit.runtime.translated_session import TranslatedSession
from quantkit.tasks.names import STREAMING_CTC
from quantkit.text.label_files import ctc_labels_of, read_names
from quantkit.text.labels import Labels
from quantkit.version import __version__

_VOCABULARY = "tokens.txt"
_RATE, _BANDS = 16_000, 80
_PARTS = ("encoder", "decoder", "joiner")
# Seconds of noise that artifact and original are compared on.
_SECONDS = (0.4, 1.7)


class SherpaStreamingCtc(Layout):
    """A graph with caches, and its tokens."""

    name = "a streaming CTC model of sherpa-onnx"

    def matches(self, folder: Path) -> bool:
        if not (folder / _VOCABULARY).is_file() or not (graph := _graph_in(folder)):
            return False
        try:
            entries = read_model_file(graph).model.metadata_props
        except ModelError:
            return False
        return says_chunks({entry.key: entry.value for entry in entries})

    def files(self, folder: Path) -> FolderFiles:
        graph = _graph_in(folder)
        if graph is None:
            raise InputError(f"{folder} has no .onnx")
        return FolderFiles((graph,), optional(folder, _VOCABULARY))

    def export(self, folder: Path, destination: Path, name: str) -> ParityReport:
        file = self.files(folder).main
        graph = FoundGraph.of(file)
        nemo = any(each.name == "audio_signal" for each in graph.inputs)
        translation, caches, bands, labels = (_nemo if nemo else _icefall)(graph)
        vocabulary = folder / _VOCABULARY
        count = len(read_names(vocabulary))
        if labels is not None and labels != count:
            raise InputError(
                f"{vocabulary} has {count} labels, and {file} scores {labels}: they are of "
                "different models"
            )
        frontend, expected = _frontend(graph, nemo, bands)
        stride = graph.metadata.get("subsampling_factor", "")
        settings = chunk_settings(graph, int(stride) if stride.isdigit() else 0, expected)
        model = open_files(file).graph
        steps = convert(model, file).steps
        name_all_nodes(model)
        require_finite_weights(model, file)
        add_prefix(model.graph, translation.inner(""))
        translate(model, translation)
        del model.graph.value_info[:]
        roles = (GraphRole(MODEL, tuple(g.name for g in translation.gives), states=caches.states),)
        set_roles(model, roles)
        digest = sha256_of(file)
        alphabet = ctc_labels_of(vocabulary, count, None)
        info = ArtifactInfo(
            labels=alphabet,
            frontend=frontend,
            task=STREAMING_CTC,
            plan=float_plan(model, digest) if is_float(model) else None,
            model_sha256=digest,
            version=__version__,
            name=name,
            extra={
                STREAMING: settings.to_json(),
                TRANSLATIONS: Translations((translation,)).to_json(),
            },
        )
        session = TranslatedSession(create_session(file, threads=0), translation)
        original = ChunkNetwork(GraphSessions(roles, {MODEL: session}, {}), settings)
        tolerance = tolerance_of(info)
        check = partial(_compared, original, frontend, alphabet, settings, tolerance)
        report = save_artifact(model, info, destination, check)
        return replace(report, notes=tuple(steps))


def _graph_in(folder: Path) -> Path | None:
    """The graph with the shortest name, which others are quantized from; None where there is none,
    or where there are several that belong together."""
    found = sorted(folder.glob("*.onnx"), key=lambda each: (len(each.name), each.name))
    if any(file.name.startswith(_PARTS) for file in found):
        return None
    return found[0] if found else None


def _icefall(graph: FoundGraph) -> tuple[Translation, Caches, int, int | None]:
    audio, scores = graph.input("x"), graph.output("log_probs", "logprobs")
    caches = caches_of(graph, MODEL, ("x",))
    chunk, bands = graph.size(audio, 1) or "frames", graph.size(audio, 2) or _BANDS
    labels = graph.size(scores, 2)
    inner = f"{MODEL}."
    translation = graph.translation(
        MODEL,
        takes=(Declared.of("features", "float32", _batch(audio), chunk, bands), *caches.takes),
        gives=(
            Declared.of("log_probs", "float32", _batch(audio), "rows", labels or "labels"),
            *caches.gives,
        ),
        before=(Step("identity", ("features",), (inner + audio.name,)), *caches.before),
        behind=(Step("identity", (inner + scores.name,), ("log_probs",)), *caches.behind),
    )
    return translation, caches, bands, labels


def _nemo(graph: FoundGraph) -> tuple[Translation, Caches, int, int | None]:
    audio, length = graph.input("audio_signal"), graph.input("length")
    scores, lengths = graph.output("logprobs"), graph.output("encoded_lengths", "logprobs_len")
    caches = caches_of(graph, MODEL, (audio.name, length.name))
    chunk, bands = graph.size(audio, 2) or "frames", graph.size(audio, 1) or _BANDS
    labels = graph.size(scores, 2)
    batch, inner = _batch(audio), f"{MODEL}."
    translation = graph.translation(
        MODEL,
        takes=(
            Declared.of("features", "float32", batch, chunk, bands),
            Declared.of("lengths", "int64", batch),
            *caches.takes,
        ),
        gives=(
            Declared.of("log_probs", "float32", batch, "rows", labels or "labels"),
            Declared.of("output_lengths", "int64", batch),
            *caches.gives,
        ),
        before=(
            Step("transpose", ("features",), (inner + audio.name,), (0, 2, 1)),
            Step("cast", ("lengths",), (inner + length.name,), type=length.type),
            *caches.before,
        ),
        behind=(
            Step("identity", (inner + scores.name,), ("log_probs",)),
            Step("cast", (inner + lengths.name,), ("output_lengths",), type="int64"),
            *caches.behind,
        ),
    )
    return translation, caches, bands, labels


def _batch(audio: Declared) -> int | str:
    size = (audio.sizes or ("batch",))[0]
    return size if isinstance(size, int) else "batch"


def _frontend(graph: FoundGraph, nemo: bool, bands: int) -> tuple[AnyFrontend, Expected | None]:
    """What makes its features, and what is expected of them."""
    if not nemo:
        if (kind := graph.metadata.get("feature", "")) not in ("", "fbank"):
            raise ModelError(f"{graph.file} wants features of the kind {kind}, which is not known")
        return KaldiFrontend.for_rate(_RATE, bands), None
    return nemo_features(graph, bands)


def _compared(
    original: ChunkNetwork,
    frontend: AnyFrontend,
    labels: Labels,
    settings: StreamingSettings,
    tolerance: float,
    path: Path,
) -> ParityReport:
    """Does the artifact say what the original says, chunk by chunk, on noise?

    Raises:
        ParityError: it does not.
    """
    artifact = ChunkNetwork.load(path, settings, threads=0)
    cases = []
    for seconds in _SECONDS:
        samples = round(seconds * frontend.sample_rate)
        noise = 0.1 * np.random.default_rng(samples).standard_normal(samples)
        clip = features_in_chunks([noise.astype(np.float32)], frontend, settings)
        found = []
        for network in (original, artifact):
            hearing = CtcHearing(network, labels)
            for chunk in chunks_of(clip, settings, silence_of(frontend)):
                hearing.accept(chunk)
            found.append(hearing.finished())
        where = f"{len(clip)} frames of noise"
        worst = difference(*found) if found[0].shape == found[1].shape else float("inf")
        cases.append(ParityCase(1, len(clip), worst, f"{where}: off by {worst:.3g}"))
    report = ParityReport(tolerance, tuple(cases), "the original")
    if not report.worst.difference <= tolerance:
        raise ParityError(
            f"{path.name} differs from the folder's own file: {report.worst.where}, beyond the "
            f"tolerance of {tolerance:g}"
        )
    return report

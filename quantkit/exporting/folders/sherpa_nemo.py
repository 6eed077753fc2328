"""NeMo's transducers as sherpa-onnx opens them: an encoder, a decoder and a joiner.

``encoder….onnx`` takes ``audio_signal`` (batch, bands, frames) and ``length``, and says in its
metadata how large the predictor's states are; ``decoder….onnx`` takes ``targets``,
``target_length`` and two states, whose names are those of a tracer, so their order counts;
``joiner….onnx`` takes one row of each. ``tokens.txt`` has a label and its number in each line, the
blank last (sherpa-onnx 2.0, ``offline-transducer-nemo-model.cc``). The encoder of a cache-aware one
takes chunks of ``window_size`` frames and three caches, too (``online-transducer-nemo-model.cc``).
GigaAM's graphs are alike but for their names, and ``is_giga_am`` in the metadata says that its
features are others (``scripts/nemo/GigaAM/export-onnx-rnnt-v2.py``).
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from quantkit.audio.frontends import AnyFrontend
from quantkit.audio.hann_kaldi_frontend import HannKaldiFrontend
from quantkit.audio.sherpa_nemo_frontend import SherpaNemoFrontend
from quantkit.errors import InputError, ModelError
from quantkit.exporting.folders.caches import (
    Caches,
    caches_of,
    chunk_settings,
    nemo_features,
    says_chunks,
)
from quantkit.exporting.folders.found_graph import FoundGraph
from quantkit.exporting.folders.layout import (
    FolderFiles,
    Layout,
    graphs_called,
    optional,
    required,
    suffixes_of,
)
from quantkit.exporting.folders.metadata import is_gigaam
from quantkit.exporting.folders.nemo_transducer import (
    RATE,
    declared_state,
    nemo_encoder,
    require_durations,
)
from quantkit.exporting.folders.transducers import (
    FoundTransducer,
    export_transducer,
    normalized,
    picked_rows,
)
from quantkit.exporting.parity import ParityReport
from quantkit.graph.interface import Declared
from quantkit.graph.model_file import read_model_file
from quantkit.graph.roles import BATCH, ENCODER, State
from quantkit.graph.translation import PREFIX, Step, Translation
from quantkit.runtime.session import create_session
from quantkit.runtime.transducer.network import JOINER, PREDICTOR
from quantkit.runtime.transducer.settings import TransducerSettings
from quantkit.text.label_files import ctc_labels_of, read_names

#: Names of the graphs without their ending, and of the labels.
STEMS, VOCABULARY = ("encoder", "decoder", "joiner"), "tokens.txt"
_BANDS, _SUBSAMPLING = 80, 8
# Names that NeMo's exporter gives, and GigaAM's.
_TARGETS, _LENGTH = ("targets", "x"), ("target_length", "unused_x_len.1", "unused_x_len")
_ENCODED, _READ = ("encoder_outputs", "enc"), ("decoder_outputs", "dec")
_SCORES = ("outputs", "joint")
# Labels that sherpa-onnx lets a frame add, without durations and with them.
_MOST_PER_FRAME, _MOST_WITH_DURATIONS = 10, 5


class SherpaNemoTransducer(Layout):
    """RNN-T and TDT in three graphs."""

    name = "a NeMo transducer of sherpa-onnx"

    def matches(self, folder: Path) -> bool:
        # Only the graphs tell it from one of icefall.
        if not any(folder.glob("joiner*.onnx")) or not (found := suffixes_of(folder, "encoder")):
            return False
        encoder = read_model_file(folder / f"encoder{found[0]}.onnx").model
        return any(each.name == "audio_signal" for each in encoder.graph.input)

    def files(self, folder: Path) -> FolderFiles:
        graphs = graphs_called(folder, STEMS, self.name)
        return FolderFiles(graphs, optional(folder, VOCABULARY))

    def export(self, folder: Path, destination: Path, name: str) -> ParityReport:
        return export_transducer(self._found(folder), destination, name)

    def _found(self, folder: Path) -> FoundTransducer:
        files = self.files(folder)
        encoder, predictor, joiner = map(FoundGraph.of, files.graphs)
        vocabulary = required(folder, [VOCABULARY], "what its labels are")
        in_chunks = says_chunks(encoder.metadata)
        gigaam = is_gigaam(encoder)
        kind = encoder.metadata.get("normalize_type", "per_feature")
        if kind != "per_feature" and not in_chunks and not gigaam:
            raise ModelError(
                f"{encoder.file} wants features that are normalised as {kind or 'nothing'}, and "
                "only per_feature is known"
            )
        audio = encoder.input("audio_signal")
        bands = encoder.size(audio, 1) or _number(encoder, "feat_dim", _BANDS)
        states = _states(encoder, predictor)
        count = len(read_names(vocabulary))
        outputs = _outputs(joiner)
        durations = require_durations(vocabulary, count, joiner, outputs)
        labels = ctc_labels_of(vocabulary, count, None)
        settings = TransducerSettings(
            (labels.blank,),
            durations,
            _MOST_WITH_DURATIONS if durations else _MOST_PER_FRAME,
            _number(encoder, "subsampling_factor", _SUBSAMPLING),
        )
        results = (
            encoder.output("outputs", "encoded").name,
            encoder.output("encoded_lengths", "encoded_len").name,
        )
        width = encoder.size(encoder.output(results[0]), 1) or "width"
        caches = caches_of(encoder, ENCODER, ("audio_signal", "length")) if in_chunks else None
        translations = (
            nemo_encoder(encoder, bands, width, results)
            if caches is None
            else _encoder_in_chunks(encoder, caches, bands, width),
            _predictor(predictor, states),
            _joiner(predictor, joiner, width, (count, durations)),
        )
        frontend: AnyFrontend = (
            HannKaldiFrontend.for_rate(RATE, bands)
            if gigaam
            else SherpaNemoFrontend.for_rate(RATE, bands, transducer=True)
        )
        found = FoundTransducer(
            files.graphs, translations, tuple(states.values()), labels, frontend, settings
        )
        if caches is None:
            return found
        frontend, expected = nemo_features(encoder, bands)
        chunks = chunk_settings(encoder, settings.subsampling, expected)
        return replace(found, frontend=frontend, encoder_states=caches.states, chunks=chunks)


def _encoder_in_chunks(
    graph: FoundGraph, caches: Caches, bands: int, width: int | str
) -> Translation:
    """The chunks of a batch become one row after the other."""
    audio, length, encoded = (
        graph.input("audio_signal"),
        graph.input("length"),
        graph.output("outputs"),
    )
    clips = (audio.sizes or (BATCH,))[0]
    batch = clips if isinstance(clips, int) else "batch"
    chunk = graph.size(audio, 2) or "frames"
    inner, turned = f"{ENCODER}.", f"{PREFIX}{ENCODER}.turned"
    return graph.translation(
        ENCODER,
        takes=(
            Declared.of("features", "float32", batch, chunk, bands),
            Declared.of("lengths", "int64", batch),
            *caches.takes,
        ),
        gives=(Declared.of("encoded", "float32", 1, "steps", width), *caches.gives),
        before=(
            Step("transpose", ("features",), (inner + audio.name,), (0, 2, 1)),
            Step("cast", ("lengths",), (inner + length.name,), type=length.type),
            *caches.before,
        ),
        behind=(
            Step("transpose", (inner + encoded.name,), (turned,), (0, 2, 1)),
            Step("one_batch", (turned,), ("encoded",)),
            *caches.behind,
        ),
    )


def _number(graph: FoundGraph, key: str, usual: int) -> int:
    said = graph.metadata.get(key, str(usual))
    if not said.isdigit() or not int(said):
        raise ModelError(f"{graph.file}: its metadata {key} is no number: {said}")
    return int(said)


def _states(encoder: FoundGraph, predictor: FoundGraph) -> dict[str, State]:
    """By the name that the graph has them under."""
    predictor.input(*_TARGETS), predictor.input(*_LENGTH)
    if len(predictor.inputs) != 4 or len(predictor.outputs) != 4:
        raise ModelError(
            f"{predictor.file} has {len(predictor.inputs)} inputs and {len(predictor.outputs)} "
            "outputs, and not targets, their number, and two states"
        )
    layers, width = (_number(encoder, key, 0) for key in ("pred_rnn_layers", "pred_hidden"))
    return {
        value.name: State(
            f"state.{number}", f"next_state.{number}", (layers, BATCH, width), value.type
        )
        for number, value in enumerate(predictor.inputs[2:], 1)
    }


def _outputs(joiner: FoundGraph) -> int:
    """How many labels and durations it scores."""
    if (known := joiner.size(joiner.output(*_SCORES), 3)) is not None:
        return known
    feed = {}
    for names in (_ENCODED, _READ):
        value = joiner.input(*names)
        width = joiner.size(value, 1)
        if width is None:
            raise InputError(f"{joiner.file} does not say how wide its input {value.name} is")
        feed[value.name] = np.zeros((1, width, 1), np.float32)
    session = create_session(joiner.file, threads=0)
    return int(session.run([joiner.output(*_SCORES).name], feed)[0].shape[3])


def _predictor(graph: FoundGraph, states: dict[str, State]) -> Translation:
    targets, length = graph.input(*_TARGETS), graph.input(*_LENGTH)
    made, _, *after = graph.outputs
    temporary, inner = f"{PREFIX}{PREDICTOR}.", f"{PREDICTOR}."
    return graph.translation(
        PREDICTOR,
        takes=(
            Declared.of("tokens", "int64", "points", 1),
            *(declared_state(state.input, state) for state in states.values()),
        ),
        gives=(
            Declared.of("predicted", "float32", "points", graph.size(made, 1) or "read", 1),
            *(declared_state(state.output, state) for state in states.values()),
        ),
        before=(
            Step("cast", ("tokens",), (inner + targets.name,), type=targets.type),
            # One label in each row.
            Step("equal", ("tokens", "tokens"), (f"{temporary}same",)),
            Step("squeeze", (f"{temporary}same",), (f"{temporary}one",), (1,)),
            Step("cast", (f"{temporary}one",), (inner + length.name,), type=length.type),
            *(Step("identity", (state.input,), (inner + name,)) for name, state in states.items()),
        ),
        behind=(
            Step("identity", (inner + made.name,), ("predicted",)),
            *(
                Step("identity", (inner + value.name,), (state.output,))
                for value, state in zip(after, states.values(), strict=True)
            ),
        ),
    )


def _joiner(
    predictor: FoundGraph, graph: FoundGraph, width: int | str, sizes: tuple[int, int]
) -> Translation:
    encoded, read = graph.input(*_ENCODED), graph.input(*_READ)
    scores = graph.output(*_SCORES)
    temporary, inner = f"{PREFIX}{JOINER}.", f"{JOINER}."
    heard, flat, alone = (f"{temporary}{name}" for name in ("heard", "flat", "alone"))
    made = predictor.outputs[0]
    return graph.translation(
        JOINER,
        takes=(
            Declared.of("encoded", "float32", 1, "steps", width),
            Declared.of("frames", "int64", "points"),
            Declared.of("predicted", "float32", "points", predictor.size(made, 1) or "read", 1),
        ),
        gives=(Declared.of("log_probs", "float32", 1, "points", sum(sizes)),),
        before=(
            *picked_rows(temporary, heard),
            Step("unsqueeze", (heard,), (inner + encoded.name,), (2,)),
            Step("identity", ("predicted",), (inner + read.name,)),
        ),
        behind=(
            Step("squeeze", (inner + scores.name,), (flat,), (1, 2)),
            Step("unsqueeze", (flat,), (alone,), (0,)),
            *normalized(temporary, alone, *sizes),
        ),
    )

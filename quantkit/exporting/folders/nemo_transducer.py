"""NeMo's transducers as onnx-asr opens them: an encoder, and a decoder with the joiner in it.

``encoder-model.onnx`` takes ``audio_signal`` (batch, bands, frames) and ``length``;
``decoder_joint-model.onnx`` takes ``encoder_outputs`` (batch, width, 1), ``targets`` (batch, 1),
``target_length`` and two states of an LSTM. ``vocab.txt`` has a label and its number in each line,
the blank among them; behind the labels, TDT models have scores of durations. ``config.json`` says
how many bands, and how many labels a frame may add (onnx-asr 0.12, ``models/nemo.py``).
"""

from __future__ import annotations

from pathlib import Path

import numpy as np

from quantkit.arrays import Array
from quantkit.audio.nemo_frontend import NemoFrontend
from quantkit.errors import InputError, ModelError
from quantkit.exporting.folders.found_graph import FoundGraph
from quantkit.exporting.folders.layout import (
    FolderFiles,
    Layout,
    graphs_called,
    optional,
    required,
)
from quantkit.exporting.folders.transducers import (
    FoundTransducer,
    export_transducer,
    normalized,
    picked_rows,
)
from quantkit.exporting.parity import ParityReport
from quantkit.graph.interface import Declared
from quantkit.graph.roles import BATCH, DECODER, ENCODER, State
from quantkit.graph.translation import PREFIX, Step, Translation
from quantkit.json_fields import Fields
from quantkit.models.pretrained_files import CONFIG_NAME, optional_json_object
from quantkit.runtime.session import create_session
from quantkit.runtime.transducer.settings import TransducerSettings
from quantkit.text.label_files import ctc_labels_of, read_names

#: Names of the graphs without their ending, and of the labels.
STEMS, VOCABULARY = ("encoder-model", "decoder_joint-model"), "vocab.txt"
#: What all of NeMo's models hear, in hertz.
RATE = 16_000
# What onnx-asr takes where config.json says nothing.
_BANDS, _SUBSAMPLING, _MOST_PER_FRAME = 80, 8, 10


class NemoTransducer(Layout):
    """RNN-T and TDT."""

    name = "a NeMo transducer of onnx-asr"

    def matches(self, folder: Path) -> bool:
        return any(folder.glob("decoder_joint-model*.onnx")) or (
            any(folder.glob("encoder-model*.onnx")) and not any(folder.glob("decoder-model*.onnx"))
        )

    def files(self, folder: Path) -> FolderFiles:
        graphs = graphs_called(folder, STEMS, self.name)
        return FolderFiles(graphs, optional(folder, VOCABULARY, CONFIG_NAME))

    def export(self, folder: Path, destination: Path, name: str) -> ParityReport:
        return export_transducer(self._found(folder), destination, name)

    def _found(self, folder: Path) -> FoundTransducer:
        files = self.files(folder)
        encoder, decoder = map(FoundGraph.of, files.graphs)
        vocabulary = required(folder, [VOCABULARY], "what its labels are")
        config = Fields(optional_json_object(folder / CONFIG_NAME), str(folder / CONFIG_NAME))
        audio = encoder.input("audio_signal")
        bands = encoder.size(audio, 1) or config.whole("features_size", default=_BANDS)
        frontend = NemoFrontend.for_rate(RATE, bands)
        states = _states(decoder)
        outputs = _outputs(encoder, decoder, bands, states)
        count = len(read_names(vocabulary))
        durations = require_durations(vocabulary, count, decoder, outputs)
        if durations and str(config.text("model_type", default="")).endswith("-rnnt"):
            raise InputError(
                f"{vocabulary} has {count} labels, and the joiner of {decoder.file} scores "
                f"{outputs}, but {CONFIG_NAME} says that it has no durations"
            )
        labels = ctc_labels_of(vocabulary, count, None)
        settings = TransducerSettings(
            (labels.blank,),
            durations,
            config.whole("max_tokens_per_step", default=_MOST_PER_FRAME),
            config.whole("subsampling_factor", default=_SUBSAMPLING),
        )
        width = encoder.size(encoder.output("outputs"), 1) or "width"
        translations = (
            nemo_encoder(encoder, bands, width),
            _decoder(decoder, states, width, (count, durations)),
        )
        return FoundTransducer(
            files.graphs, translations, tuple(states.values()), labels, frontend, settings
        )


def require_durations(vocabulary: Path, labels: int, graph: FoundGraph, outputs: int) -> int:
    """How many durations a joiner scores behind the labels.

    Args:
        labels: in the vocabulary.
        graph: the joiner.
        outputs: all that it scores.

    Raises:
        InputError: there are more labels than outputs.
    """
    if outputs < labels:
        raise InputError(
            f"{vocabulary} has {labels} labels, and the joiner of {graph.file} scores only "
            f"{outputs}: they are of different models"
        )
    return outputs - labels


def _states(decoder: FoundGraph) -> dict[str, State]:
    """By the name that the graph has them under."""
    found = {}
    for number in (1, 2):
        value = decoder.input(f"input_states_{number}")
        decoder.output(f"output_states_{number}")
        layers, width = decoder.size(value, 0), decoder.size(value, 2)
        if layers is None or width is None:
            raise ModelError(
                f"{decoder.file} does not say how large its {value.name} is, which onnx-asr needs"
            )
        shape = (layers, BATCH, width)
        found[value.name] = State(f"state.{number}", f"next_state.{number}", shape, value.type)
    return found


def _outputs(encoder: FoundGraph, decoder: FoundGraph, bands: int, states: dict[str, State]) -> int:
    """How many labels and durations the joiner scores."""
    if (known := decoder.size(decoder.output("outputs"), 3)) is not None:
        return known
    width = encoder.size(encoder.output("outputs"), 1)
    if width is None:
        features = np.zeros((1, bands, 100), np.float32)
        session = create_session(encoder.file, threads=0)
        heard = {"audio_signal": features, "length": np.array([100])}
        width = session.run(["outputs"], heard)[0].shape[1]
    feed: dict[str, Array] = {
        "encoder_outputs": np.zeros((1, width, 1), np.float32),
        "targets": np.zeros((1, 1), decoder.input("targets").type),
        "target_length": np.ones(1, decoder.input("target_length").type),
        **{name: state.initial() for name, state in states.items()},
    }
    session = create_session(decoder.file, threads=0)
    return int(session.run(["outputs"], feed)[0].shape[3])


def nemo_encoder(
    graph: FoundGraph,
    bands: int,
    width: int | str,
    results: tuple[str, str] = ("outputs", "encoded_lengths"),
) -> Translation:
    """What the encoder takes and gives.

    Args:
        width: of what it gives; a name where that is not declared.
        results: names of its outputs: steps, and how many they are.
    """
    audio, length = graph.input("audio_signal"), graph.input("length")
    encoded, lengths = map(graph.output, results)
    inner = f"{ENCODER}."
    return graph.translation(
        ENCODER,
        takes=(
            Declared.of("features", "float32", "batch", "frames", bands),
            Declared.of("lengths", "int64", "batch"),
        ),
        gives=(
            Declared.of("encoded", "float32", "batch", "steps", width),
            Declared.of("encoded_lengths", "int64", "batch"),
        ),
        before=(
            Step("transpose", ("features",), (inner + audio.name,), (0, 2, 1)),
            Step("cast", ("lengths",), (inner + length.name,), type=length.type),
        ),
        behind=(
            Step("transpose", (inner + encoded.name,), ("encoded",), (0, 2, 1)),
            Step("cast", (inner + lengths.name,), ("encoded_lengths",), type="int64"),
        ),
    )


def _decoder(
    graph: FoundGraph, states: dict[str, State], width: int | str, sizes: tuple[int, int]
) -> Translation:
    encoded, targets = graph.input("encoder_outputs"), graph.input("targets")
    length, scores = graph.input("target_length"), graph.output("outputs")
    temporary, inner = f"{PREFIX}{DECODER}.", f"{DECODER}."
    heard, one, flat, alone = (f"{temporary}{name}" for name in ("heard", "one", "flat", "alone"))
    return graph.translation(
        DECODER,
        takes=(
            Declared.of("encoded", "float32", 1, "steps", width),
            Declared.of("frames", "int64", "points"),
            Declared.of("tokens", "int64", "points", 1),
            *(declared_state(state.input, state) for state in states.values()),
        ),
        gives=(
            Declared.of("log_probs", "float32", 1, "points", sum(sizes)),
            *(declared_state(state.output, state) for state in states.values()),
        ),
        before=(
            *picked_rows(temporary, heard),
            Step("unsqueeze", (heard,), (inner + encoded.name,), (2,)),
            Step("cast", ("tokens",), (inner + targets.name,), type=targets.type),
            # One label in each row.
            Step("equal", ("frames", "frames"), (one,)),
            Step("cast", (one,), (inner + length.name,), type=length.type),
            *(Step("identity", (state.input,), (inner + name,)) for name, state in states.items()),
        ),
        behind=(
            Step("squeeze", (inner + scores.name,), (flat,), (1, 2)),
            Step("unsqueeze", (flat,), (alone,), (0,)),
            *normalized(temporary, alone, *sizes),
            *(
                Step("identity", (inner + name.replace("input_", "output_"),), (state.output,))
                for name, state in states.items()
            ),
        ),
    )


def declared_state(name: str, state: State) -> Declared:
    """A state of all points, under its name before or after a run."""
    sizes = ("points" if size == BATCH else size for size in state.shape)
    return Declared.of(name, state.type, *sizes)

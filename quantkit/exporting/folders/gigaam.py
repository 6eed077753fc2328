"""GigaAM as onnx-asr opens it: CTC in one graph, RNN-T in three.

``v2_ctc.onnx`` takes ``features`` (clips, 64, frames) and ``feature_lengths`` and gives
``log_probs``. ``v2_rnnt_encoder.onnx`` takes ``audio_signal`` and ``length`` and gives ``encoded``
(clips, width, steps) and ``encoded_len``; ``v2_rnnt_decoder.onnx`` takes ``x`` (1, 1), ``h.1`` and
``c.1``; ``v2_rnnt_joint.onnx`` takes one row of each. ``v2_vocab.txt`` has a label and its number
in each line, the blank last. The third version's names are alike, and those of models that write
punctuation have ``e2e`` in them (onnx-asr 0.12, ``models/gigaam.py``).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from quantkit.audio.gigaam_frontend import GigaamFrontend
from quantkit.errors import InputError, ModelError
from quantkit.exporting.folders.found_graph import FoundGraph
from quantkit.exporting.folders.layout import (
    FolderFiles,
    Layout,
    graphs_called,
    optional,
    required,
)
from quantkit.exporting.folders.nemo_transducer import declared_state, nemo_encoder
from quantkit.exporting.folders.transducers import (
    FoundTransducer,
    export_transducer,
    normalized,
    picked_rows,
)
from quantkit.exporting.parity import ParityReport
from quantkit.graph.interface import Declared
from quantkit.graph.roles import BATCH, State
from quantkit.graph.translation import PREFIX, Step, Translation
from quantkit.json_fields import Fields
from quantkit.models.pretrained_files import CONFIG_NAME, optional_json_object
from quantkit.runtime.transducer.network import JOINER, PREDICTOR
from quantkit.runtime.transducer.settings import TransducerSettings
from quantkit.tasks.names import CTC
from quantkit.text.label_files import ctc_labels_of, read_names

_CTC = re.compile(r"(v\d(?:_e2e)?|multilingual(?:_\w+?)?)_ctc(?:[.\-_].*)?\.onnx")
_RNNT = re.compile(r"(v\d(?:_e2e)?)_rnnt_(?:encoder|decoder|joint)(?:[.\-_].*)?\.onnx")
_BANDS, _SUBSAMPLING, _MOST_PER_FRAME = 64, 4, 3
_VERSIONS = ("v2", "v3")


class GigaamCtc(Layout):
    """CTC in one graph."""

    name = "a GigaAM CTC model of onnx-asr"

    def matches(self, folder: Path) -> bool:
        return bool(_names(folder, _CTC)) and not _names(folder, _RNNT)

    def files(self, folder: Path) -> FolderFiles:
        stem = _stem(folder, _CTC)
        graphs = graphs_called(folder, [f"{stem}_ctc"], self.name)
        return FolderFiles(graphs, optional(folder, *_vocabularies(f"{stem}_ctc"), CONFIG_NAME))

    def export(self, folder: Path, destination: Path, name: str) -> ParityReport:
        from quantkit.exporting.adopt import adopt

        main = self.files(folder).main
        names = _vocabularies(f"{_stem(folder, _CTC)}_ctc")
        vocabulary = required(folder, names, "what its labels are")
        frontend = f"gigaam-{_version(_config(folder))}"
        return adopt(main, destination, vocabulary, CTC, name=name, frontend=frontend)


class GigaamTransducer(Layout):
    """RNN-T, whose predictor is an LSTM."""

    name = "a GigaAM transducer of onnx-asr"

    def matches(self, folder: Path) -> bool:
        return bool(_names(folder, _RNNT))

    def files(self, folder: Path) -> FolderFiles:
        stem = _stem(folder, _RNNT)
        stems = [f"{stem}_rnnt_{part}" for part in ("encoder", "decoder", "joint")]
        graphs = graphs_called(folder, stems, self.name)
        return FolderFiles(graphs, optional(folder, *_vocabularies(f"{stem}_rnnt"), CONFIG_NAME))

    def export(self, folder: Path, destination: Path, name: str) -> ParityReport:
        return export_transducer(self._found(folder), destination, name)

    def _found(self, folder: Path) -> FoundTransducer:
        files = self.files(folder)
        encoder, predictor, joiner = map(FoundGraph.of, files.graphs)
        names = _vocabularies(f"{_stem(folder, _RNNT)}_rnnt")
        vocabulary = required(folder, names, "what its labels are")
        config = _config(folder)
        if (bands := encoder.size(encoder.input("audio_signal"), 1)) not in (None, _BANDS):
            raise ModelError(f"{encoder.file} takes {bands} bands, and a GigaAM {_BANDS}")
        count = len(read_names(vocabulary))
        outputs = joiner.size(joiner.output("joint"), -1)
        if outputs is not None and outputs != count:
            raise InputError(
                f"{vocabulary} has {count} labels, and {joiner.file} scores {outputs}: they are of "
                "different models"
            )
        labels = ctc_labels_of(vocabulary, count, None)
        settings = TransducerSettings(
            (labels.blank,),
            0,
            config.whole("max_tokens_per_step", default=_MOST_PER_FRAME),
            config.whole("subsampling_factor", default=_SUBSAMPLING),
        )
        states = _states(predictor)
        width = encoder.size(encoder.output("encoded"), 1) or "width"
        translations = (
            nemo_encoder(encoder, _BANDS, width, ("encoded", "encoded_len")),
            _predictor(predictor, states),
            _joiner(predictor, joiner, width, count),
        )
        frontend = GigaamFrontend.of_version(int(_version(config)[1:]))
        return FoundTransducer(
            files.graphs, translations, tuple(states.values()), labels, frontend, settings
        )


def _names(folder: Path, pattern: re.Pattern[str]) -> list[str]:
    """What the names of the graphs begin with, the shortest first."""
    matches = (pattern.fullmatch(file.name) for file in folder.iterdir())
    return sorted({match[1] for match in matches if match}, key=lambda each: (len(each), each))


def _stem(folder: Path, pattern: re.Pattern[str]) -> str:
    return next(iter(_names(folder, pattern)), "v2")


def _vocabularies(stem: str) -> Sequence[str]:
    """Names that the vocabulary of ``v2_ctc`` may have."""
    return (f"{stem}_vocab.txt", f"{stem.split('_')[0]}_vocab.txt")


def _config(folder: Path) -> Fields:
    path = folder / CONFIG_NAME
    return Fields(optional_json_object(path), str(path))


def _version(config: Fields) -> str:
    """Of the front end.

    Raises:
        InputError: it is not known.
    """
    version = config.text("version", default="v2")
    if version not in _VERSIONS:
        raise InputError(
            f"{CONFIG_NAME} says version {version}, and {' and '.join(_VERSIONS)} are known"
        )
    return version


def _states(predictor: FoundGraph) -> dict[tuple[str, str], State]:
    """By the names that the graph has them under, before and after a run."""
    found = {}
    for number, (before, after) in enumerate(
        ((("h.1", "h", "hi"), ("h", "ho")), (("c.1", "c", "ci"), ("c", "co"))), 1
    ):
        value, made = predictor.input(*before), predictor.output(*after)
        layers, width = predictor.size(value, 0), predictor.size(value, 2)
        if layers is None or width is None:
            raise ModelError(f"{predictor.file} does not say how large its {value.name} is")
        shape = (layers, BATCH, width)
        state = State(f"state.{number}", f"next_state.{number}", shape, value.type)
        found[value.name, made.name] = state
    return found


def _predictor(graph: FoundGraph, states: dict[tuple[str, str], State]) -> Translation:
    x, made = graph.input("x"), graph.output("dec")
    inner = f"{PREDICTOR}."
    return graph.translation(
        PREDICTOR,
        takes=(
            Declared.of("tokens", "int64", "points", 1),
            *(declared_state(state.input, state) for state in states.values()),
        ),
        gives=(
            Declared.of("predicted", "float32", "points", 1, graph.size(made, 2) or "read"),
            *(declared_state(state.output, state) for state in states.values()),
        ),
        before=(
            Step("cast", ("tokens",), (inner + x.name,), type=x.type),
            *(
                Step("identity", (state.input,), (inner + before,))
                for (before, _), state in states.items()
            ),
        ),
        behind=(
            Step("identity", (inner + made.name,), ("predicted",)),
            *(
                Step("identity", (inner + after,), (state.output,))
                for (_, after), state in states.items()
            ),
        ),
    )


def _joiner(predictor: FoundGraph, graph: FoundGraph, width: int | str, labels: int) -> Translation:
    enc, read, scores = graph.input("enc"), graph.input("dec"), graph.output("joint")
    temporary, inner = f"{PREFIX}{JOINER}.", f"{JOINER}."
    heard, flat, alone = (f"{temporary}{name}" for name in ("heard", "flat", "alone"))
    made = predictor.output("dec")
    return graph.translation(
        JOINER,
        takes=(
            Declared.of("encoded", "float32", 1, "steps", width),
            Declared.of("frames", "int64", "points"),
            Declared.of("predicted", "float32", "points", 1, predictor.size(made, 2) or "read"),
        ),
        gives=(Declared.of("log_probs", "float32", 1, "points", labels),),
        before=(
            *picked_rows(temporary, heard),
            Step("unsqueeze", (heard,), (inner + enc.name,), (2,)),
            Step("transpose", ("predicted",), (inner + read.name,), (0, 2, 1)),
        ),
        behind=(
            Step("squeeze", (inner + scores.name,), (flat,), (1, 2)),
            Step("unsqueeze", (flat,), (alone,), (0,)),
            *normalized(temporary, alone, labels, 0),
        ),
    )

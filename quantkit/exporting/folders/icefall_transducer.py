"""Transducers of icefall with a stateless predictor, as onnx-asr and sherpa-onnx open them.

``encoder*.onnx`` takes ``x`` (batch, frames, 80) and ``x_lens``, ``decoder*.onnx`` the last labels
``y`` (batch, context), ``joiner*.onnx`` one row of each; ``tokens.txt`` has a label and its number
in each line. For onnx-asr (0.12, ``models/kaldi.py``; ``vosk``, ``kaldi-rnnt``) all lie in folders
within the folder. For sherpa-onnx they lie in it, and ``decoder*.onnx`` has the size of the context
in its metadata. The encoder of a streaming one takes ``x`` (batch, T, 80) and caches, and gives
``encoder_out`` and new caches; its metadata have ``T`` and ``decode_chunk_len``.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from quantkit.audio.kaldi_frontend import KaldiFrontend
from quantkit.errors import InputError, ModelError
from quantkit.exporting.folders.caches import Caches, caches_of, chunk_settings
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
from quantkit.graph.roles import BATCH, ENCODER
from quantkit.graph.translation import PREFIX, Step, Translation
from quantkit.json_fields import Fields
from quantkit.models.pretrained_files import CONFIG_NAME, optional_json_object
from quantkit.runtime.transducer.network import JOINER, PREDICTOR
from quantkit.runtime.transducer.settings import TransducerSettings
from quantkit.text.label_files import ctc_labels_of, read_names

#: Names of the graphs without their ending, and of the labels.
STEMS, VOCABULARY = ("encoder", "decoder", "joiner"), "tokens.txt"
_RATE, _BANDS = 16_000, 80
# What onnx-asr takes where config.json says nothing, and sherpa-onnx always.
_CONTEXT, _SUBSAMPLING, _MOST_PER_FRAME = 2, 4, 1


class IcefallTransducer(Layout):
    """RNN-T with a predictor of the last two labels, or of as many as its graph takes."""

    name = "a transducer of icefall"

    def matches(self, folder: Path) -> bool:
        return _graphs_folder(folder) is not None

    def files(self, folder: Path) -> FolderFiles:
        inner = _graphs_folder(folder) or folder
        graphs = graphs_called(inner, STEMS, self.name)
        found = (*optional(folder, CONFIG_NAME), *_vocabularies(folder))
        return FolderFiles(graphs, found)

    def export(self, folder: Path, destination: Path, name: str) -> ParityReport:
        return export_transducer(self._found(folder), destination, name)

    def _found(self, folder: Path) -> FoundTransducer:
        files = self.files(folder)
        encoder, predictor, joiner = map(FoundGraph.of, files.graphs)
        vocabularies = _vocabularies(folder)
        if not vocabularies:
            required(folder, [VOCABULARY], "what its labels are")
        config = Fields(optional_json_object(folder / CONFIG_NAME), str(folder / CONFIG_NAME))
        count = len(read_names(vocabularies[0]))
        outputs = joiner.size(joiner.output("logit"), -1)
        if outputs is not None and outputs != count:
            raise InputError(
                f"{vocabularies[0]} has {count} labels, and {joiner.file} scores {outputs}: they "
                "are of different models"
            )
        labels = ctc_labels_of(vocabularies[0], count, None)
        context = _context(predictor)
        settings = TransducerSettings(
            (*(-1 for _ in range(context - 1)), labels.blank),
            0,
            config.whole("max_tokens_per_step", default=_MOST_PER_FRAME),
            config.whole("subsampling_factor", default=_SUBSAMPLING),
        )
        bands = encoder.size(encoder.input("x"), 2) or _BANDS
        frontend = KaldiFrontend.for_rate(_RATE, bands)
        in_chunks = all(each.name != "x_lens" for each in encoder.inputs)
        caches = caches_of(encoder, ENCODER, ("x",)) if in_chunks else None
        translations = (
            _encoder(encoder, bands) if caches is None else _encoder_in_chunks(encoder, caches),
            _predictor(predictor, context),
            _joiner(encoder, joiner, count),
        )
        found = FoundTransducer(files.graphs, translations, (), labels, frontend, settings)
        if caches is None:
            return found
        if (kind := encoder.metadata.get("feature", "")) not in ("", "fbank"):
            raise ModelError(f"{encoder.file} wants features of the kind {kind}, not known here")
        chunks = chunk_settings(encoder, settings.subsampling)
        return replace(found, encoder_states=caches.states, chunks=chunks)


def _graphs_folder(folder: Path) -> Path | None:
    """The folder with the graphs: itself, or one in it."""
    inner = sorted(path for path in folder.iterdir() if path.is_dir())
    for each in (folder, *inner):
        # A Whisper of several files has an encoder and a decoder, too, and no joiner.
        if any(each.glob("joiner*.onnx")):
            return each
    return None


def _vocabularies(folder: Path) -> tuple[Path, ...]:
    return tuple(sorted({*folder.glob(VOCABULARY), *folder.glob(f"*/{VOCABULARY}")}))


def _context(predictor: FoundGraph) -> int:
    """How many labels the predictor reads."""
    y = predictor.input("y")
    said = str(predictor.metadata.get("context_size", ""))
    if said and not (said.isdigit() and int(said)):
        raise ModelError(f"{predictor.file}: its metadata context_size is no number: {said}")
    return predictor.size(y, 1) or int(said or _CONTEXT)


def _encoder(graph: FoundGraph, bands: int) -> Translation:
    audio, length = graph.input("x"), graph.input("x_lens")
    encoded, lengths = graph.output("encoder_out"), graph.output("encoder_out_lens")
    inner = f"{ENCODER}."
    return graph.translation(
        ENCODER,
        takes=(
            Declared.of("features", "float32", "batch", "frames", bands),
            Declared.of("lengths", "int64", "batch"),
        ),
        gives=(
            Declared.of("encoded", "float32", "batch", "steps", graph.size(encoded, 2) or "width"),
            Declared.of("encoded_lengths", "int64", "batch"),
        ),
        before=(
            Step("identity", ("features",), (inner + audio.name,)),
            Step("cast", ("lengths",), (inner + length.name,), type=length.type),
        ),
        behind=(
            Step("identity", (inner + encoded.name,), ("encoded",)),
            Step("cast", (inner + lengths.name,), ("encoded_lengths",), type="int64"),
        ),
    )


def _encoder_in_chunks(graph: FoundGraph, caches: Caches) -> Translation:
    """Takes no lengths; the chunks of a batch become one row after the other."""
    audio, encoded = graph.input("x"), graph.output("encoder_out")
    sizes, inner = audio.sizes or (BATCH,), f"{ENCODER}."
    batch = sizes[0] if isinstance(sizes[0], int) else "batch"
    chunk, bands = graph.size(audio, 1) or "frames", graph.size(audio, 2) or _BANDS
    width = graph.size(encoded, 2) or "width"
    return graph.translation(
        ENCODER,
        takes=(Declared.of("features", "float32", batch, chunk, bands), *caches.takes),
        gives=(Declared.of("encoded", "float32", 1, "steps", width), *caches.gives),
        before=(Step("identity", ("features",), (inner + audio.name,)), *caches.before),
        behind=(
            Step("one_batch", (inner + encoded.name,), ("encoded",)),
            *caches.behind,
        ),
    )


def _predictor(graph: FoundGraph, context: int) -> Translation:
    y, made = graph.input("y"), graph.output("decoder_out")
    inner = f"{PREDICTOR}."
    return graph.translation(
        PREDICTOR,
        takes=(Declared.of("tokens", "int64", "points", context),),
        gives=(Declared.of("predicted", "float32", "points", graph.size(made, 1) or "read"),),
        before=(Step("cast", ("tokens",), (inner + y.name,), type=y.type),),
        behind=(Step("identity", (inner + made.name,), ("predicted",)),),
    )


def _joiner(encoder: FoundGraph, graph: FoundGraph, labels: int) -> Translation:
    heard, read = graph.input("encoder_out"), graph.input("decoder_out")
    scores = graph.output("logit")
    temporary, inner = f"{PREFIX}{JOINER}.", f"{JOINER}."
    width = encoder.size(encoder.output("encoder_out"), 2) or "width"
    return graph.translation(
        JOINER,
        takes=(
            Declared.of("encoded", "float32", 1, "steps", width),
            Declared.of("frames", "int64", "points"),
            Declared.of("predicted", "float32", "points", graph.size(read, 1) or "read"),
        ),
        gives=(Declared.of("log_probs", "float32", 1, "points", labels),),
        before=(
            *picked_rows(temporary, inner + heard.name),
            Step("identity", ("predicted",), (inner + read.name,)),
        ),
        behind=(
            Step("unsqueeze", (inner + scores.name,), (temporary + "scores",), (0,)),
            *normalized(temporary, temporary + "scores", labels, 0),
        ),
    )

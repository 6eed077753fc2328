"""Encoders with a merged decoder, as optimum exports them and transformers.js opens them.

``encoder_model.onnx`` and ``decoder_model_merged.onnx``, in the folder or in ``onnx/``; beside them
``tokenizer.json``, or ``tokens.txt`` as Moonshine's own programs have it. The decoder takes
``input_ids``, ``encoder_hidden_states``, ``past_key_values.<layer>.<decoder|encoder>.<key|value>``
and ``use_cache_branch``, and gives ``logits`` and ``present.…``; see
:mod:`quantkit.graph.merged_decoder`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import onnx

from quantkit.conversion.convert import convert
from quantkit.disk.files import sha256_of
from quantkit.errors import InputError, ModelError
from quantkit.exporting.folders.encoder_decoder import compared
from quantkit.exporting.folders.found_graph import FoundGraph, is_float
from quantkit.exporting.folders.layout import (
    FolderFiles,
    Layout,
    graphs_called,
    optional,
    suffixes_of,
)
from quantkit.exporting.folders.merged_family import MergedFamily
from quantkit.exporting.folders.merged_moonshine import MoonshineFolder
from quantkit.exporting.folders.merged_whisper import WhisperFolder
from quantkit.exporting.parity import ParityReport
from quantkit.exporting.saving import float_plan, save_artifact
from quantkit.exporting.wrapping import declared
from quantkit.graph.artifact import open_files
from quantkit.graph.dead_code import drop_dead_nodes, drop_unread_initializers
from quantkit.graph.editor import name_all_nodes
from quantkit.graph.interface import Declared
from quantkit.graph.joined import add_prefix, join, set_short_form
from quantkit.graph.merged_decoder import (
    CHOICE,
    HIDDEN,
    READS,
    TOKENS,
    add_up_weights,
    branch_of,
    shape_by_itself,
    state_keys,
    take_apart,
    their_name,
)
from quantkit.graph.roles import CROSSING, DECODER, ENCODER, PRESENT
from quantkit.graph.tied_transposes import tie_transposed_weights
from quantkit.graph.translation import TRANSLATIONS, Translation, Translations
from quantkit.graph.weight_holders import require_finite_weights
from quantkit.runtime.encoder_decoder.merged import MergedNetwork
from quantkit.runtime.session import create_session
from quantkit.text.label_files.written_tokens import TOKENIZER, TOKENS_TXT
from quantkit.version import __version__

_FAMILIES: tuple[MergedFamily, ...] = (WhisperFolder(), MoonshineFolder())
#: Names of the graphs without their ending, and of the folder that they may lie in.
STEMS, SUBFOLDER = ("encoder_model", "decoder_model_merged"), "onnx"
_OTHERS = (
    *(TOKENIZER, TOKENS_TXT, "config.json", "generation_config.json", "preprocessor_config.json"),
    *("tokenizer_config.json", "special_tokens_map.json", "quantize_config.json"),
)
# What the names of the nodes begin with that make keys and values of the encoder's output.
_CROSSED = f"{CROSSING}attention"


class OnnxCommunity(Layout):
    """Whisper and Moonshine."""

    name = "an encoder with a merged decoder, as onnx-community publishes Whisper and Moonshine,"

    def matches(self, folder: Path) -> bool:
        return bool(suffixes_of(_graph_folder(folder), STEMS[1]))

    def files(self, folder: Path) -> FolderFiles:
        graphs = graphs_called(_graph_folder(folder), STEMS, self.name)
        return FolderFiles(graphs, optional(folder, *_OTHERS))

    def export(self, folder: Path, destination: Path, name: str) -> ParityReport:
        files = self.files(folder)
        found = tuple(map(FoundGraph.of, files.graphs))
        encoder, merged = (open_files(file).graph for file in files.graphs)
        family = _family_of(*found)
        keys = state_keys(merged)
        heard = [their_name(PRESENT, key, ENCODER) for key in keys]
        own = ["logits", *(their_name(PRESENT, key, DECODER) for key in keys)]
        crossing = branch_of(merged, later=False, outputs=heard)
        decoder = branch_of(merged, later=True, outputs=own)
        steps: list[str] = []
        for graph, file in zip((encoder, crossing, decoder), (0, 1, 1), strict=True):
            steps += convert(graph, files.graphs[file]).steps
            # Published files may hold levels and zero points, of which the graph makes the weights.
            add_up_weights(graph.graph)
            steps += tie_transposed_weights(graph.graph)
        for output in heard:
            shape_by_itself(crossing.graph, output)
        drop_dead_nodes(crossing.graph)
        drop_unread_initializers(crossing.graph)
        for graph, prefix in ((encoder, ENCODER), (crossing, _CROSSED), (decoder, DECODER)):
            name_all_nodes(graph)
            require_finite_weights(graph, folder)
            add_prefix(graph.graph, f"{prefix}.")
        vocabulary = found[1].size(found[1].output("logits"), 2)
        if vocabulary is None:
            raise ModelError(f"{files.graphs[1]} does not say how many tokens it writes")
        parts = take_apart(encoder, crossing, decoder, keys)
        translations = Translations(
            tuple(
                Translation(
                    role,
                    graph.file.name,
                    graph.inputs,
                    graph.outputs,
                    _values(part.graph.input),
                    _values(part.graph.output),
                    (),
                    (),
                    dict(graph.metadata),
                )
                for graph, role, part in zip(found, (ENCODER, DECODER), parts, strict=True)
            ),
            merged=True,
        )
        set_short_form(encoder)
        whole = join(parts)
        del whole.graph.value_info[:]
        digest = sha256_of(files.graphs[0])
        info = family.info(folder, found[0], vocabulary)
        info = replace(
            info,
            plan=float_plan(whole, digest) if is_float(whole) else None,
            model_sha256=digest,
            version=__version__,
            name=name,
            extra={**info.extra, TRANSLATIONS: translations.to_json()},
        )
        clips = tuple(family.clips(found[0]))
        original = MergedNetwork(*(create_session(file, threads=0) for file in files.graphs))
        check = partial(compared, original, clips, vocabulary, on_a_grid=info.plan is None)
        report = save_artifact(whole, info, destination, check)
        return replace(report, notes=tuple(dict.fromkeys(steps)))


def _values(values: Sequence[onnx.ValueInfoProto]) -> tuple[Declared, ...]:
    return declared(values, values)


def _graph_folder(folder: Path) -> Path:
    inner = folder / SUBFOLDER
    return inner if inner.is_dir() else folder


def _family_of(encoder: FoundGraph, merged: FoundGraph) -> MergedFamily:
    """Whose layout it is, by what the encoder takes.

    Raises:
        InputError: it takes something else.
        ModelError: graphs without the inputs and outputs of the layout.
    """
    heard = [each.name for each in encoder.inputs]
    family = next((each for each in _FAMILIES if heard == [each.hears]), None)
    if family is None:
        known = " or ".join(f"{each.hears} ({each.name})" for each in _FAMILIES)
        raise InputError(
            f"{encoder.file} takes {', '.join(heard) or 'nothing'}; of this layout, what takes "
            f"{known} alone can be read"
        )
    encoder.output(HIDDEN)
    for name in (TOKENS, READS, CHOICE):
        merged.input(name)
    return family

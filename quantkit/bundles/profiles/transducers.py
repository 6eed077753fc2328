"""Transducers: as NeMo's and icefall's for onnx-asr and sherpa-onnx."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import onnx

from quantkit.bundles.profiles.base import Form, Source, Written
from quantkit.bundles.profiles.feature_ctc import (
    onnx_asr_opening,
    sherpa_opening,
    why_blank_not_last,
    why_not_gigaam,
    why_not_kaldi,
    why_not_nemo,
    write_onnx_asr_config,
)
from quantkit.bundles.profiles.graphs import write_graph
from quantkit.bundles.profiles.label_files import TOKENS, why_no_lines, write_lines
from quantkit.bundles.profiles.transducer_graphs import (
    StatePair,
    icefall_encoder,
    icefall_joiner,
    icefall_predictor,
    in_one,
    nemo_decoder_joint,
    nemo_encoder,
    nemo_joiner,
    nemo_predictor,
)
from quantkit.exporting.folders import icefall_transducer, nemo_transducer, sherpa_nemo
from quantkit.graph.roles import DECODER, ENCODER, State
from quantkit.runtime.transducer.network import JOINER, PREDICTOR
from quantkit.runtime.transducer.settings import TransducerSettings, transducer_settings
from quantkit.tasks.names import TRANSDUCER

_IN_ONE = (
    "its predictor and joiner are one graph, as in folders of onnx-asr, and the program opens them "
    "apart"
)


class _Transducer(Form):
    tasks: ClassVar[frozenset[str]] = frozenset((TRANSDUCER,))

    def why_not(self, source: Source) -> str:
        return self._why_not_heard(source) or why_no_lines(source.labels) or self._why_not(source)

    @abstractmethod
    def _why_not_heard(self, source: Source) -> str:
        """Of its features."""

    @abstractmethod
    def _why_not(self, source: Source) -> str:
        """Of its graphs and labels."""


def _settings(source: Source) -> TransducerSettings:
    return transducer_settings(source.info.extra)


def _states(source: Source) -> tuple[State, ...]:
    return source.roles[1].states


def _pair(source: Source) -> StatePair:
    found = StatePair.of(_states(source))
    assert found is not None  # why_not
    return found


def _outputs(source: Source) -> int:
    return len(source.labels) + _settings(source).durations


def _bands(source: Source) -> int:
    return int(getattr(source.frontend, "mel_bands", 0))


def _why_no_lstm(source: Source) -> str:
    settings = _settings(source)
    if settings.start != (source.labels.blank,):
        return "its predictor does not read one label at a time, the blank first"
    if StatePair.of(_states(source)) is None:
        return "its predictor does not carry the two states of an LSTM"
    return ""


def _subsampling(source: Source) -> int:
    # What both programs take where nothing is said.
    return _settings(source).subsampling or 8


class OnnxAsrNemo(_Transducer):
    """``nemo-conformer-rnnt`` and ``nemo-conformer-tdt``."""

    name = "nemo-conformer-rnnt or nemo-conformer-tdt"

    def _why_not_heard(self, source: Source) -> str:
        return why_not_nemo(source)

    def _why_not(self, source: Source) -> str:
        return _why_no_lstm(source)

    def write(self, source: Source, folder: Path) -> Written:
        parts, states = source.parts(), _pair(source)
        width = nemo_encoder(parts[ENCODER], _bands(source))
        decoder = parts.get(DECODER) or in_one(parts[PREDICTOR], parts[JOINER])
        nemo_decoder_joint(decoder, states, width, _outputs(source))
        graphs = tuple(
            write_graph(model, folder / f"{stem}.onnx", {})
            for model, stem in zip((parts[ENCODER], decoder), nemo_transducer.STEMS, strict=True)
        )
        write_lines(folder / nemo_transducer.VOCABULARY, source.labels)
        settings = _settings(source)
        kind = f"nemo-conformer-{'tdt' if settings.durations else 'rnnt'}"
        write_onnx_asr_config(
            folder,
            kind,
            features_size=_bands(source),
            subsampling_factor=_subsampling(source),
            max_tokens_per_step=settings.most_per_frame,
        )
        return Written(graphs, onnx_asr_opening(kind))


class SherpaNemo(_Transducer):
    """``nemo_transducer``."""

    name = "nemo_transducer"
    metadata: ClassVar[dict[str, str]] = {"normalize_type": "per_feature"}

    def _why_not_heard(self, source: Source) -> str:
        return why_not_nemo(source)

    def _why_not(self, source: Source) -> str:
        if DECODER in {role.role for role in source.roles}:
            return _IN_ONE
        return _why_no_lstm(source) or why_blank_not_last(source)

    def write(self, source: Source, folder: Path) -> Written:
        parts, states, bands = source.parts(), _pair(source), _bands(source)
        width = nemo_encoder(parts[ENCODER], bands)
        nemo_predictor(parts[PREDICTOR], states)
        nemo_joiner(parts[JOINER], width, _outputs(source))
        said = {
            "vocab_size": str(len(source.labels) - 1),
            "subsampling_factor": str(_subsampling(source)),
            "pred_rnn_layers": str(states.layers),
            "pred_hidden": str(states.width),
            "model_type": "EncDecRNNTBPEModel",
            "feat_dim": str(bands),
            # It is by this that sherpa-onnx knows durations.
            "url": "tdt" if _settings(source).durations else "",
            **self.metadata,
        }
        roles = (ENCODER, PREDICTOR, JOINER)
        return _write_three(source, folder, parts, roles, sherpa_nemo.STEMS, (said, {}, {}))


class SherpaGigaam(SherpaNemo):
    """The same with GigaAM's features."""

    name = "nemo_transducer of GigaAM"
    metadata: ClassVar[dict[str, str]] = {"normalize_type": "", "is_giga_am": "1"}

    def _why_not_heard(self, source: Source) -> str:
        return why_not_gigaam(source)


def _write_three(
    source: Source,
    folder: Path,
    parts: Mapping[str, onnx.ModelProto],
    roles: Sequence[str],
    stems: Sequence[str],
    said: Sequence[dict[str, str]],
) -> Written:
    graphs = tuple(
        write_graph(parts[role], folder / f"{stem}.onnx", entries)
        for role, stem, entries in zip(roles, stems, said, strict=True)
    )
    write_lines(folder / TOKENS, source.labels)
    files = {stem: f"{stem}.onnx" for stem in stems}
    nemo = "pred_hidden" in said[0]
    options = ('model_type="nemo_transducer"',) if nemo else ()
    return Written(graphs, sherpa_opening("transducer", files, options=options))


class _Icefall(_Transducer):
    """A stateless predictor."""

    def _why_not_heard(self, source: Source) -> str:
        return why_not_kaldi(source)

    def _why_not(self, source: Source) -> str:
        settings = _settings(source)
        if DECODER in {role.role for role in source.roles}:
            return _IN_ONE
        if _states(source) or settings.durations:
            return "its predictor carries states, or its joiner scores durations"
        return ""

    def _graphs(self, source: Source) -> dict[str, onnx.ModelProto]:
        parts, context = source.parts(), _settings(source).context
        width = icefall_encoder(parts[ENCODER], _bands(source))
        icefall_predictor(parts[PREDICTOR], context)
        icefall_joiner(parts[JOINER], width, _outputs(source))
        return parts

    def _said(self, source: Source) -> tuple[dict[str, str], ...]:
        context = {
            "context_size": str(_settings(source).context),
            "vocab_size": str(len(source.labels)),
        }
        return {"model_type": "zipformer2"}, context, {}


class SherpaIcefall(_Icefall):
    """``transducer`` of icefall."""

    name = "transducer of icefall"

    def _why_not(self, source: Source) -> str:
        if reason := super()._why_not(source):
            return reason
        settings = _settings(source)
        # It begins with -1 … -1, 0, whatever the labels say.
        if source.labels.blank != 0 or settings.start[-1] != 0:
            return "its blank is not its first label"
        if settings.most_per_frame != 1:
            return "a frame may add several labels, and the program takes one"
        return ""

    def write(self, source: Source, folder: Path) -> Written:
        parts = self._graphs(source)
        roles = (ENCODER, PREDICTOR, JOINER)
        stems = icefall_transducer.STEMS
        return _write_three(source, folder, parts, roles, stems, self._said(source))


class OnnxAsrIcefall(_Icefall):
    """``kaldi-rnnt``, whose graphs and labels lie in folders within the folder."""

    name = "kaldi-rnnt"

    def _why_not(self, source: Source) -> str:
        if reason := super()._why_not(source):
            return reason
        settings = _settings(source)
        if settings.start != (-1, source.labels.blank):
            return "its predictor does not read the last two labels"
        return ""

    def write(self, source: Source, folder: Path) -> Written:
        parts, settings = self._graphs(source), _settings(source)
        graphs = tuple(
            write_graph(parts[role], folder / "am-onnx" / f"{stem}.onnx", entries)
            for role, stem, entries in zip(
                (ENCODER, PREDICTOR, JOINER),
                icefall_transducer.STEMS,
                self._said(source),
                strict=True,
            )
        )
        (folder / "lang").mkdir()
        write_lines(folder / "lang" / icefall_transducer.VOCABULARY, source.labels)
        write_onnx_asr_config(
            folder,
            self.name,
            max_tokens_per_step=settings.most_per_frame,
            subsampling_factor=settings.subsampling or 4,
        )
        return Written(graphs, onnx_asr_opening(self.name))

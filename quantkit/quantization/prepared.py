"""A float32 model that is read once, and the choices for its layers that steps work with."""

from __future__ import annotations

import copy
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import onnx
from onnx import numpy_helper

from quantkit.arrays import FloatArray
from quantkit.calibration.data import Calibration, CalibrationData
from quantkit.conversion.convert import convert
from quantkit.conversion.parity import check_conversion
from quantkit.disk.files import sha256_of
from quantkit.disk.temporary import TemporaryFolder
from quantkit.errors import InputError, ModelError, NothingQuantized, OutputError
from quantkit.exporting.unwrapping import wrapped_interface
from quantkit.exporting.wrapping import set_nodes_apart, wrap_again
from quantkit.graph.artifact import open_files
from quantkit.graph.body_constants import hoist_weights
from quantkit.graph.digest import graph_digest
from quantkit.graph.editor import fix_defaults, name_all_nodes
from quantkit.graph.info import ArtifactInfo, info_of
from quantkit.graph.layers import Layer, find_layers
from quantkit.graph.operators import operators
from quantkit.graph.operators.plain_gemm import make_gemms_plain
from quantkit.graph.partition import bodies
from quantkit.graph.plan import Plan, Structure
from quantkit.graph.tensors import move_out, raw_size
from quantkit.graph.translating import set_kept, translations_of
from quantkit.graph.translation import PREFIX
from quantkit.graph.weight_holders import held_in_words
from quantkit.passes import optimise
from quantkit.quantization.calibration_cache import CalibrationCache
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerChoice
from quantkit.quantization.equalize.balancing import insert_balances
from quantkit.quantization.equalize.conditioning import condition
from quantkit.quantization.tied_weights import limited_layers, separate_transposes
from quantkit.structure.branches import keep_means
from quantkit.structure.channel_paths import keep_channels, see_channels
from quantkit.structure.layers import Seen, see_layers, split_layers
from quantkit.structure.low_rank import Covariance
from quantkit.structure.refit import refit

_LOG = logging.getLogger(__name__)

_QUANTIZED = frozenset(
    {
        *("DequantizeLinear", "DynamicQuantizeLinear", "ConvInteger", "MatMulInteger"),
        *("QLinearConv", "QLinearMatMul", "MatMulIntegerToFloat", "DynamicQuantizeMatMul"),
        *("DynamicQuantizeLSTM", "QAttention", "QEmbedLayerNormalization", "QGemm", "QMoE"),
        *("MatMulNBits", "MatMulBnb4", "MatMulFpQ4", "GatherBlockQuantized"),
        *("QLinearAdd", "QLinearMul", "QLinearSigmoid", "QOrderedMatMul", "QOrderedAttention"),
    }
)

# Weights that a pass has made anew, of at least so many bytes, go to a temporary file.
_SMALLEST_EXTERNAL = 1 << 16


class PreparedModel:
    """A float32 model, opened, checked and optimised once; every step is handed this object.

    ::

        prepared = PreparedModel.of(Path("float32.onnx"))
        table = analyze(prepared, corpus)
        result = quantize_model(prepared, Path("int8.onnx"), "static-int8", corpus)

    Large tensors stay in the file, which must not change meanwhile, and are read when a step works
    on them. What clips have shown of the model, and the weights that were encoded, are kept in
    :attr:`cache`.

    Args:
        source: the ``.onnx``.
        keep_interface: whether what is made of it has the inputs and outputs of the model that it
            was adopted from; None: where it was adopted.

    Attributes:
        original: the graph of the file, converted where it needs that. It must not be changed:
            copy it.
        size_bytes: of all files of the model.
        info: its metadata.
        keep_interface: as above, decided.
        is_usual_interface: whether that is what it would be without being asked for.
        conversion: what was done to the graph that the file has.
        cache: see above.
        structure: of the layers that are split, or make fewer channels, in :meth:`graph`; see
            :meth:`structured`.

    Raises:
        ModelError: it is missing, damaged, quantized already, or cannot be converted; see
            :func:`~quantkit.conversion.convert.convert`.
        ParityError: the converted graph differs from the file.
        InputError: ``keep_interface`` of a model that was adopted by an earlier version.
    """

    def __init__(self, source: Path, keep_interface: bool | None = None) -> None:
        self.source = source
        opened = open_files(source)
        self.original = opened.graph
        self.size_bytes = opened.size_bytes
        self.cache = CalibrationCache()
        _refuse_quantized(self.original, info_of(self.original, str(source)), source)
        self.conversion = convert(self.original, source)
        check_conversion(source, self.original, self.conversion)
        wrap_again(self.original)
        if translations_of(self.original) is not None:
            set_kept(self.original, kept=False)
        if not info_of(self.original, str(source)).task:
            set_nodes_apart(self.original.graph)
        self.info: ArtifactInfo = info_of(self.original, str(source))
        self.keep_interface = _kept_interface(self.original, source, keep_interface)
        usual = _kept_interface(self.original, source, None)
        self.is_usual_interface = self.keep_interface == usual
        # Where there is no layer at all, this is said by whatever wants one.
        held = held_in_words(self.original) if find_layers(self.original) else ()
        for line in (*self.conversion.steps, *held):
            _LOG.warning("%s: %s", source, line)
        self.structure: Mapping[str, Structure] = {}
        self._whole: PreparedModel | None = None
        self._clips: CalibrationData | None = None
        self._optimised: dict[tuple[str, ...], onnx.ModelProto] = {}
        self._digests: dict[tuple[tuple[str, ...], tuple[str, ...]], str] = {}

    @classmethod
    def of(cls, source: Path | PreparedModel) -> PreparedModel:
        """``source`` as a prepared model, which it may be already."""
        return source if isinstance(source, PreparedModel) else cls(source)

    @cached_property
    def sha256(self) -> str:
        """Of the file."""
        return sha256_of(self.source)

    def feeds(self, calibration: Calibration | CalibrationData) -> CalibrationData:
        """``calibration`` as inputs of this model."""
        return CalibrationData.of(calibration, self.info, self.source)

    @property
    def whole(self) -> PreparedModel:
        """The same model with no layer split."""
        return self if self._whole is None else self._whole

    @property
    def is_stand_in(self) -> bool:
        """Whether the numbers in these layers are any, because there were no clips."""
        return bool(self.structure) and self._clips is None

    def structured(
        self, structure: Mapping[str, Structure], feeds: CalibrationData | None = None
    ) -> PreparedModel:
        """The same model with what each layer in ``structure`` becomes in its place.

        It has a cache of its own, because it is another graph.

        Args:
            structure: by name of the layer; empty: :attr:`whole`.
            feeds: unlabelled clips that the new weights are found from when :meth:`graph` needs
                them; None: they get any numbers, for what depends on shapes only.
        """
        if not structure:
            return self.whole
        other = copy.copy(self.whole)
        # The folder of new weights is found anew.
        other.__dict__.pop("_folder", None)
        other._whole, other._clips = self.whole, feeds
        other.structure = dict(structure)
        other.cache, other._optimised, other._digests = CalibrationCache(), {}, {}
        other.size_bytes += _grown(self.whole.graph(), _restructured(self.whole, (), structure))
        return other

    def filled(self, constants: Mapping[str, FloatArray]) -> PreparedModel:
        """The same graph with other numbers in some of its initializers.

        Args:
            constants: by the name of the initializer, in its shape.
        """
        model = self.graph()
        for tensor in model.graph.initializer:
            if tensor.name in constants:
                tensor.CopyFrom(numpy_helper.from_array(constants[tensor.name], tensor.name))
        other = copy.copy(self)
        other.cache, other._digests = CalibrationCache(), {}
        other._optimised = {(): model}
        return other

    def copy_original(self) -> onnx.ModelProto:
        """A copy of :attr:`original`, for the caller to change."""
        return _copy(self.original)

    def graph(
        self, skip_passes: tuple[str, ...] = (), balance: tuple[str, ...] = ()
    ) -> onnx.ModelProto:
        """The optimised graph with all nodes named, for the caller to change.

        Args:
            skip_passes: see :class:`~quantkit.quantization.choices.settings.QuantizeSettings`.
            balance: layers that get a multiplication in front; see
                :mod:`quantkit.quantization.equalize.balancing`.

        Raises:
            FormatError: a layer of ``balance`` cannot have one.
        """
        if skip_passes not in self._optimised:
            self._optimised[skip_passes] = self._optimise(skip_passes)
        model = _copy(self._optimised[skip_passes])
        insert_balances(model, balance)
        return model

    def layers_of(self, model: onnx.ModelProto) -> tuple[Layer, ...]:
        """The layers of a graph that :meth:`graph` made.

        Raises:
            NothingQuantized: there are none; the message names what holds the weights instead.
        """
        layers = tuple(find_layers(model))
        if not layers:
            names = ", ".join(each.name for each in operators())
            held = "; ".join(held_in_words(model)) or "it holds no weights"
            raise NothingQuantized(
                f"nothing is quantized: {self.source} has no layer, no {names} with a constant "
                f"weight; {held}"
            )
        return layers

    def graph_sha256(self, skip_passes: tuple[str, ...], balance: tuple[str, ...]) -> str:
        """What tells the graph that :meth:`graph` makes from others."""
        key = skip_passes, balance
        if key not in self._digests:
            self._digests[key] = graph_digest(self.graph(skip_passes, balance))
        return self._digests[key]

    def _optimise(self, skip_passes: tuple[str, ...]) -> onnx.ModelProto:
        if self.structure:
            return self._split(skip_passes)
        model = self.copy_original()
        fix_defaults(model)
        name_all_nodes(model)
        hoist_weights(model)
        make_gemms_plain(model)
        optimise(model, skip_passes)
        separate_transposes(model)
        self._leave_on_disk(model)
        return model

    def _split(self, skip_passes: tuple[str, ...]) -> onnx.ModelProto:
        model = _restructured(self.whole, skip_passes, self.structure, self._clips)
        self._leave_on_disk(model)
        return model

    def seen(
        self, skip_passes: tuple[str, ...], names: Iterable[str], feeds: CalibrationData
    ) -> Mapping[str, Seen]:
        """What clips show of layers of :meth:`graph` that could be split, found once.

        Raises:
            CorpusError, ModelError: see :func:`~quantkit.calibration.calibrate.calibrate`.
        """
        key = self.graph_sha256(skip_passes, ()), feeds.digest()
        return self.cache.seen(
            "ranks",
            *key,
            names,
            lambda missing: see_layers(self.graph(skip_passes), missing, feeds),
        )

    def seen_channels(
        self, skip_passes: tuple[str, ...], names: Iterable[str], feeds: CalibrationData
    ) -> Mapping[str, Covariance]:
        """The same of the channels that layers ``names`` make, where they are read."""
        key = self.graph_sha256(skip_passes, ()), feeds.digest()
        return self.cache.seen(
            "channels",
            *key,
            names,
            lambda missing: see_channels(self.graph(skip_passes), missing, feeds),
        )

    def _leave_on_disk(self, model: onnx.ModelProto) -> None:
        """Move weights that passes have made anew out of memory; each copy would hold them."""
        large = [t for t in model.graph.initializer if len(t.raw_data) >= _SMALLEST_EXTERNAL]
        if not large:
            return
        path = self._folder.path / f"{len(self._optimised)}.weights"
        try:
            with path.open("wb") as stream:
                for tensor in large:
                    move_out(tensor, bytes(tensor.raw_data), stream, str(path))
        except OSError as error:
            raise OutputError(
                f"cannot put weights into {path.parent}: {error.strerror or error}; make room "
                "there, or let TMPDIR name another folder"
            ) from error

    @cached_property
    def _folder(self) -> TemporaryFolder:
        """Goes with this object."""
        return TemporaryFolder("prepared")


@dataclass
class AssignedModel:
    """A copy of a prepared model's graph with a choice for every layer, to be worked on.

    Args:
        prepared: what it was made of.
        model: the graph, with all nodes named.
        layers: what can be quantized.
        choices: what each layer becomes.
        plan: the same as a plan, without sizes; notes give the reason if a choice is not the
            requested one.
        fitting: how the numbers will be found.
        skip_passes: see :class:`~quantkit.quantization.choices.settings.QuantizeSettings`.
    """

    prepared: PreparedModel
    model: onnx.ModelProto
    layers: tuple[Layer, ...]
    choices: Mapping[str, LayerChoice]
    plan: Plan
    fitting: PtqSettings = field(default_factory=PtqSettings)
    skip_passes: tuple[str, ...] = ()
    #: What was done to the float graph by :meth:`condition`, in words.
    conditioned: tuple[str, ...] = ()

    @property
    def info(self) -> ArtifactInfo:
        """Metadata of the float model."""
        return self.prepared.info

    @property
    def is_unchanged(self) -> bool:
        """Whether the model is to stay what it is."""
        plain = all(choice.is_plain_float for choice in self.choices.values())
        return plain and not self.prepared.structure

    def largest_levels(self) -> dict[str, int]:
        """Of layers whose weight could overflow on the target processors, by name."""
        return limited_layers(self.model, self.layers, self.choices, self.fitting)

    def condition(self, feeds: CalibrationData | None) -> None:
        """Equalize, smooth and balance the graph as the fitting says; see
        :func:`~quantkit.quantization.equalize.conditioning.condition`."""
        self.conditioned = condition(
            self.model,
            self.layers,
            self.choices,
            feeds,
            self.fitting,
            cache=self.prepared.cache,
        )

    def graph_sha256(self) -> str:
        """What tells the graph from others, whatever file it came from."""
        if self.conditioned or self.is_unchanged:
            return graph_digest(self.model)
        return self.prepared.graph_sha256(self.skip_passes, self.fitting.balance)


def _kept_interface(model: onnx.ModelProto, source: Path, keep: bool | None) -> bool:
    """Whether results get the interface of the original; a model of ours has its own anyway."""
    if translations_of(model) is not None:
        return bool(keep)
    has_one = wrapped_interface(model) is not None
    if keep and not has_one and any(node.name.startswith(PREFIX) for node in model.graph.node):
        raise InputError(
            f"{source} was made of somebody's .onnx by an earlier version, and does not know the "
            "original's inputs and outputs: export the original anew"
        )
    return has_one if keep is None else keep and has_one


def _restructured(
    whole: PreparedModel,
    skip_passes: tuple[str, ...],
    structure: Mapping[str, Structure],
    clips: CalibrationData | None = None,
) -> onnx.ModelProto:
    """The graph of ``whole`` without some branches, with fewer channels, and with lower ranks."""
    model = whole.graph(skip_passes)
    means = [name for name, each in structure.items() if each.mean]
    if means:
        keep_means(model, means, None if clips is None else whole.seen(skip_passes, means, clips))
    channels = {name: each.channels for name, each in structure.items() if each.channels}
    ranks = {name: each.ranks for name, each in structure.items() if each.is_split}
    if channels:
        read = None if clips is None else whole.seen_channels(skip_passes, channels, clips)
        keep_channels(model, channels, read)
    if ranks and clips is not None:
        # Layers that read or make fewer channels compute something else.
        fewer = see_layers(model, ranks, clips) if channels or means else None
        split_layers(model, ranks, fewer or whole.seen(skip_passes, ranks, clips))
        # Of a layer that makes fewer channels, the whole model's are no targets.
        alike = [name for name in ranks if name not in channels]
        refit(whole.graph(skip_passes), model, alike, clips)
    else:
        split_layers(model, ranks, None)
    return model


def _grown(whole: onnx.ModelProto, split: onnx.ModelProto) -> int:
    """How many bytes more a file of the second graph takes."""

    def taken(model: onnx.ModelProto) -> int:
        nodes = sum(int(node.ByteSize()) for node in model.graph.node)
        return nodes + sum(raw_size(each) + len(each.name) for each in model.graph.initializer)

    return taken(split) - taken(whole)


def _copy(model: onnx.ModelProto) -> onnx.ModelProto:
    copied = onnx.ModelProto()
    copied.CopyFrom(model)
    return copied


def _nodes(graph: onnx.GraphProto) -> Iterator[onnx.NodeProto]:
    """Those of bodies, too."""
    for node in graph.node:
        yield node
        for body in bodies(node):
            yield from _nodes(body)


def _refuse_quantized(model: onnx.ModelProto, info: ArtifactInfo, source: Path) -> None:
    made_by = [row for row in (info.plan or {}).get("layers", []) if row.get("codec") != "float32"]
    if made_by:
        raise ModelError(
            f"{source} is quantized already (layer {made_by[0].get('name')} is stored as "
            f"{made_by[0].get('codec')}); give the float32 model"
        )
    nodes = [*_nodes(model.graph), *(node for each in model.functions for node in each.node)]
    found = sorted({node.op_type for node in nodes} & _QUANTIZED)
    if found:
        raise ModelError(
            f"{source} is quantized already (it has {', '.join(found)}); give the float32 model"
        )

"""What the divergence pass measures, and how much of it is affordable for a model's size."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from quantkit.calibration.data import CalibrationData, evenly
from quantkit.codecs.catalogue import CodecChoice
from quantkit.codecs.tiered import Tiered
from quantkit.errors import InputError
from quantkit.graph.layers import Layer
from quantkit.graph.operators import operator_named
from quantkit.runtime.parallel import cores
from quantkit.sensitivity.posteriors import WEIGHTINGS, Weighting

#: All sizes from 1 to 8 bits: ``rice`` has the smallest error at most, ``grouped`` where weights
#: are of very different size and opening is to take little memory, ``bitplane`` needs the fewest
#: bytes beyond its bits and is what most published results are about. Of embeddings and layers of
#: tens of thousands of labels, ``tiered`` is both smaller and nearer to float32.
CANDIDATES = tuple(
    CodecChoice.parse(text)
    for text in (
        *(f"grouped:{bits}" for bits in range(1, 7)),
        *(f"bitplane:{bits}" for bits in range(2, 8)),
        *(f"rice:{quarters / 4:g}" for quarters in range(5, 19)),
        "int8",
        # For vocabularies. Of tens of thousands of tokens a few thousand are nearly all that a few
        # clips hold, and the next ten or twenty thousand nearly all that others will. The first
        # have 8 bits because they are read, too: what is wrong with a row is in all that follows.
        "tiered:2,tiers=2048x8+8192x4+16384x3",
        "tiered:3,tiers=2048x8",
        "tiered:3,tiers=2048x8+16384x4",
        "tiered:3,tiers=2048x8+6144x5+16384x4",
        "tiered:3,tiers=4096x8+8192x5+16384x4",
        "tiered:4,tiers=2048x8+8192x5",
        "tiered:4,tiers=4096x8+16384x5",
        "tiered:5,tiers=2048x8",
    )
)

# Weights times layers times seconds of audio times runs of what lies behind a layer: what the pass
# costs, up to the speed of the host. It is 60 seconds, five codecs and two grids of the shipped
# model: half a minute on two cores.
_AFFORDABLE = 2.6e10
_FEWEST_SECONDS = 8.0
_WIDEST_PROBE = 3
# Of a Whisper, around which its layers end up. Errors of few bits grow faster than in proportion to
# their noise: one probe of 3 bits overestimated the embedding at 4 bits by a factor of four, and
# underestimated other layers at 1 and 2.
_FEW_WIDTHS = (2, 4)
# Assumed length of clips of unknown length.
_SECONDS_PER_CLIP = 5.0


@dataclass(frozen=True)
class DivergenceSettings:
    """What to try on each layer, and on how much audio.

    >>> DivergenceSettings(candidates=CANDIDATES[:3], seconds=30).probes is None
    True

    Args:
        candidates: codecs for the weights.
        activation_bits: grids for the input of layers that integer kernels could compute; static
            and dynamic each.
        faster_inputs: whether to try, too, static grids of so few bits that a layer is computed
            with fewer products; see :mod:`quantkit.quantization.kernels.fast_fir`.
        weighting: of the frames; see :func:`~quantkit.sensitivity.posteriors.frame_weights`.
        probes: candidates per layer that are really run; the others are interpolated on their
            noise. None: as many as the model's size lets one afford, which is all of at most 3 bits
            for a small one.
        seconds: of audio to use at most; clips are taken evenly from all there are, and at least
            one. None: likewise.
        threads: candidates, or clips, that are run side by side; 0: as many as there are cores.
        memory: bytes of activations to keep in memory rather than on disk.

    Raises:
        InputError: a number that makes no sense, an unknown weighting, or no candidates.
    """

    candidates: tuple[CodecChoice, ...] = CANDIDATES
    activation_bits: tuple[int, ...] = (8,)
    faster_inputs: bool = False
    weighting: Weighting = "spoken"
    probes: int | None = None
    seconds: float | None = None
    threads: int = 0
    memory: int = 64_000_000

    def __post_init__(self) -> None:
        if not self.for_all_layers:
            raise InputError(
                "measuring divergence needs at least one candidate codec that goes with all layers"
            )
        if any(not 1 <= bits <= 16 for bits in self.activation_bits):
            raise InputError(f"activations have 1 to 16 bits, not {list(self.activation_bits)}")
        if self.weighting not in WEIGHTINGS:
            raise InputError(
                f"unknown weighting {self.weighting!r}; choose one of {', '.join(WEIGHTINGS)}"
            )
        if self.probes is not None and self.probes < 1:
            raise InputError(f"at least one candidate must be run, not {self.probes}")
        if self.seconds is not None and not self.seconds > 0:
            raise InputError(f"seconds of audio must be above 0, not {self.seconds:g}")
        if self.threads < 0:
            raise InputError(f"threads must be 0 (all cores) or more, not {self.threads}")

    @property
    def for_all_layers(self) -> tuple[CodecChoice, ...]:
        """The candidates that go with any layer."""
        return tuple(codec for codec in self.candidates if codec.has_one_width)

    def for_vocabulary(self, channels: int) -> tuple[CodecChoice, ...]:
        """Those for vocabularies of so many labels, beside the others."""
        found = ((codec, codec.make()) for codec in self.candidates)
        return tuple(c for c, made in found if isinstance(made, Tiered) and made.fits(channels))

    @property
    def workers(self) -> int:
        """Threads to use on this host."""
        return self.threads or cores()

    def to_json(self) -> dict[str, Any]:
        """All that the result depends on."""
        return {
            "candidates": [str(codec) for codec in self.candidates],
            "activation_bits": list(self.activation_bits),
            **({"faster_inputs": True} if self.faster_inputs else {}),
            "weighting": self.weighting,
            "probes": self.probes,
            "seconds": self.seconds,
        }


@dataclass(frozen=True)
class Effort:
    """How much of the requested analysis is run; depends on model and audio, never on the host.

    Args:
        clips: positions of the clips to use, ascending.
        probes: candidates per layer to run.
        all_grids: whether all grids of the layer's input are run, too; else one of them, and on
            one clip.
    """

    clips: tuple[int, ...]
    probes: int
    all_grids: bool = True


def effort_for(
    settings: DivergenceSettings, layers: Sequence[Layer], feeds: CalibrationData
) -> Effort:
    """The affordable effort for a model with ``layers`` and these clips."""
    task = feeds.task
    return effort(
        settings,
        layers,
        feeds.clips,
        feeds.computed_seconds,
        feeds.sizes,
        feeds.fewest,
        task.patience,
    )


def effort(
    settings: DivergenceSettings,
    layers: Sequence[Layer],
    clips: int,
    seconds: float,
    sizes: Sequence[int] = (),
    fewest: int = 1,
    patience: float = 1.0,
) -> Effort:
    """The affordable effort for a model with ``layers``, given the number of clips and their total
    seconds.

    If a full analysis is too expensive, first the audio is reduced, down to 8 seconds, then the
    candidates, down to one, and one grid. Even for a small model, only candidates of at most 3 bits
    are run.

    Args:
        seconds: 0 if unknown.
        sizes: of the clips. If only one is affordable, it is one of about half the mean size:
            short, but not a fragment. Empty: one from the middle.
        fewest: clips to use if available, regardless of the cost; if more than one, at least two
            candidates are run.
        patience: allowed cost, as a multiple of the usual one.
    """
    seconds = seconds or clips * _SECONDS_PER_CLIP
    weights = sum(_operations(layer) for layer in layers)
    affordable = patience * _AFFORDABLE / max(1, weights * len(layers))
    candidates = _runnable(settings.for_all_layers)
    narrow = sum(codec.bits <= _WIDEST_PROBE for codec in candidates)
    probes = min(settings.probes or max(narrow, 1), len(candidates))
    grids = 2 * len(settings.activation_bits)
    audio = settings.seconds or max(_FEWEST_SECONDS, affordable / (probes + grids))
    audio = min(audio, seconds)
    runs = affordable / audio
    if settings.probes is None:
        least = 1 if fewest == 1 else len(_FEW_WIDTHS)
        probes = min(probes, max(least, int(runs) - grids))
    used = clips if audio >= seconds else max(1, int(clips * audio / seconds))
    if settings.seconds is None:
        used = max(used, min(fewest, clips))
    chosen = evenly(clips, used)
    if sizes and used == 1:
        half = sum(sizes) / clips / 2
        chosen = (min(range(clips), key=lambda clip: abs(sizes[clip] - half)),)
    return Effort(chosen, probes, all_grids=runs >= 1 + grids or settings.probes is not None)


def _operations(layer: Layer) -> int:
    operator = operator_named(layer.op)
    return math.prod(layer.shape) if operator is None else operator.operations(layer.shape)


def _runnable(candidates: Sequence[CodecChoice]) -> tuple[CodecChoice, ...]:
    """Those that may be run: of codecs with steps of a quarter of a bit, others tell enough."""
    whole = tuple(codec for codec in candidates if not codec.takes_any_bits)
    return whole or tuple(candidates)


def listened_codecs(
    candidates: Sequence[CodecChoice], probes: Sequence[CodecChoice]
) -> tuple[CodecChoice, ...]:
    """Candidates of which the noise is measured, without running what lies behind the layer.

    Of each codec the narrowest, the widest and one in the middle, unless they are run: between
    them, each bit takes about as much of the noise.
    """
    others = [codec for codec in candidates if str(codec) not in set(map(str, probes))]
    kinds: dict[tuple[str, str], list[CodecChoice]] = {}
    for codec in sorted(candidates, key=lambda codec: codec.bits):
        kinds.setdefault((codec.name, str(codec.options)), []).append(codec)
    chosen = {
        str(kind[place]) for kind in kinds.values() for place in (0, len(kind) // 2, len(kind) - 1)
    }
    return tuple(codec for codec in others if str(codec) in chosen)


def probe_codecs(candidates: Sequence[CodecChoice], probes: int) -> tuple[CodecChoice, ...]:
    """The candidates to run, evenly spread over the widths from the narrowest on.

    Those of more than 3 bits come last: what they do is small, and in proportion to their noise.
    Two alone have 2 and 4 bits, one has 3.
    """
    ordered = sorted(_runnable(candidates), key=lambda codec: codec.bits)
    narrow = [codec for codec in ordered if codec.bits <= _WIDEST_PROBE]
    if probes >= len(ordered):
        return tuple(ordered)
    if probes == len(_FEW_WIDTHS):
        found = [min(ordered, key=lambda codec: abs(codec.bits - width)) for width in _FEW_WIDTHS]
        return tuple({str(codec): codec for codec in found}.values())
    if probes >= len(narrow):
        return tuple(ordered[:probes])
    last = len(narrow) - 1
    if probes == 1:
        # Where errors are small enough for the others to follow in proportion.
        return (narrow[last],)
    return tuple(narrow[i * last // (probes - 1)] for i in range(probes))

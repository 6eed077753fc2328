"""A training recipe: everything that decides what a training run does, in one TOML file.

The published recipes of "Quantization of CNN-based Language Models" and a small default come
with the package (:func:`preset`); the recipe of a shipped checkpoint lies beside it.
"""

from __future__ import annotations

import dataclasses
import tomllib
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args

from quantkit.errors import InputError
from quantkit.models.wav2letter import Wav2LetterConfig

OptimizerName = Literal["adam", "adamw", "sgd"]
ScheduleName = Literal["one-cycle", "plateau", "constant"]
Precision = Literal["auto", "float32", "bfloat16"]
HoldoutUnit = Literal["speaker", "utterance"]
Alphabet = Literal["english", "hw4p2", "letters", "phonemes"]


@dataclass(frozen=True)
class OptimizerSettings:
    """Optimizer and learning-rate schedule.

    Args:
        learning_rate: peak rate.
        schedule: ``one-cycle`` (Smith 2018) over ``Recipe.steps``; ``plateau`` divides the rate
            by ``1 / plateau_factor`` after ``plateau_patience`` validations without progress.
        warmup: share of a one-cycle run in which the rate rises.
        clip_norm: gradients are scaled down to this norm; 0 switches that off.
    """

    name: OptimizerName = "adamw"
    learning_rate: float = 2e-3
    weight_decay: float = 1e-2
    schedule: ScheduleName = "one-cycle"
    warmup: float = 0.1
    plateau_patience: int = 5
    plateau_factor: float = 0.1
    clip_norm: float = 5.0


@dataclass(frozen=True)
class AugmentSettings:
    """Augmentation of training clips; validation hears them unchanged.

    Args:
        speed: largest relative change of speed and pitch, 0.1 meaning 0.9–1.1.
        noise_probability: share of clips that get white or pink noise at 10–40 dB.
        padding_seconds: longest silence put before and, independently, after half of the clips.
        time_masks, time_width: SpecAugment (Park et al. 2019): masks per ten seconds and
            their greatest width in frames.
        frequency_masks, frequency_width: likewise over mel bands, per clip.
    """

    speed: float = 0.1
    noise_probability: float = 0.0
    padding_seconds: float = 0.0
    time_masks: int = 2
    time_width: int = 40
    frequency_masks: int = 2
    frequency_width: int = 8


@dataclass(frozen=True)
class Source:
    """One corpus in the mixture.

    Args:
        name: what ``--data NAME=FOLDER`` refers to.
        folder: below the folder that ``--data FOLDER`` names; empty: ``name``.
        split: use only this split of the corpus; empty: all.
        valid_split: take validation clips from this split instead of holding some out.
        test_share: speakers or clips that are never trained on, chosen by hash.
        valid_share: likewise, kept for validation.
        holdout: whether whole speakers or single clips are held out.
        rename: transcripts to replace, e.g. ``{silence = ""}``.
        drop: transcripts to leave out.
        join: up to so many clips are joined into one training clip.
    """

    name: str
    folder: str = ""
    split: str = ""
    valid_split: str = ""
    test_share: float = 0.0
    valid_share: float = 0.03
    holdout: HoldoutUnit = "utterance"
    rename: dict[str, str] = field(default_factory=dict)
    drop: tuple[str, ...] = ()
    join: int = 1


@dataclass(frozen=True)
class Stage:
    """A part of the curriculum.

    Args:
        until: share of ``Recipe.steps`` at which this stage ends.
        max_seconds: longer clips wait for a later stage.
        repeats: how often an epoch goes through each source; a share below 1 draws that part
            of it anew each epoch. Sources that are not named are left out.
    """

    until: float
    max_seconds: float
    repeats: dict[str, float]


@dataclass(frozen=True)
class Recipe:
    """All settings of one training run.

    Args:
        model: its number of labels is set by the alphabet.
        alphabet: ``english``, ``hw4p2``, or what the training transcripts hold: single
            ``letters``, or ``phonemes`` with spaces between.
        steps: optimizer steps.
        batch_seconds: longest padded duration of a batch; ``batch_clips`` bounds its clips.
        validation_clips: at most so many of each source.
        precision: ``auto`` takes bfloat16 where the hardware has it.
    """

    model: Wav2LetterConfig
    sources: tuple[Source, ...]
    stages: tuple[Stage, ...]
    alphabet: Alphabet = "english"
    optimizer: OptimizerSettings = OptimizerSettings()
    augment: AugmentSettings = AugmentSettings()
    steps: int = 10_000
    batch_seconds: float = 60.0
    batch_clips: int = 128
    validate_every: int = 500
    validation_clips: int = 150
    precision: Precision = "auto"
    seed: int = 0

    def stage_at(self, step: int) -> Stage:
        """The stage that ``step`` belongs to."""
        share = step / max(1, self.steps)
        return next((s for s in self.stages if share < s.until), self.stages[-1])


def load_recipe(path: Path) -> Recipe:
    """Read a recipe from TOML.

    Raises:
        InputError: unreadable file, unknown setting, or a value out of range.
    """
    try:
        content = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise InputError(f"cannot read recipe {path}: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise InputError(f"recipe {path} is not TOML: {error}") from error
    return _recipe_from(content, str(path))


def preset(name: str) -> Recipe:
    """A recipe that comes with the package: ``published-hw4p2``, ``published-hw3p2``, ``small``.

    Raises:
        InputError: no such preset.
    """
    if name not in _PRESETS:
        raise InputError(f"no recipe {name!r}; there are {', '.join(sorted(_PRESETS))}")
    return _PRESETS[name]


def preset_names() -> tuple[str, ...]:
    """Names that :func:`preset` knows."""
    return tuple(sorted(_PRESETS))


_T = TypeVar("_T")


def _build(cls: type[_T], content: dict[str, Any], where: str) -> _T:
    known = {f.name: f for f in dataclasses.fields(cls)}  # type: ignore[arg-type]
    unknown = sorted(set(content) - set(known))
    if unknown:
        raise InputError(f"{where}: unknown setting {', '.join(unknown)}")
    values = {k: tuple(v) if isinstance(v, list) else v for k, v in content.items()}
    try:
        return cls(**values)
    except TypeError as error:
        raise InputError(f"{where}: {error}") from error


def _recipe_from(content: dict[str, Any], where: str) -> Recipe:
    parts = dict(content)
    recipe = _build(
        Recipe,
        {
            **{k: v for k, v in parts.items() if k not in ("source", "stage")},
            "model": _build(Wav2LetterConfig, parts.pop("model", {}), f"{where} [model]"),
            "optimizer": _build(
                OptimizerSettings, parts.pop("optimizer", {}), f"{where} [optimizer]"
            ),
            "augment": _build(AugmentSettings, parts.pop("augment", {}), f"{where} [augment]"),
            "sources": [
                _build(Source, s, f"{where} [[source]] {i}")
                for i, s in enumerate(parts.pop("source", []), 1)
            ],
            "stages": [
                _build(Stage, s, f"{where} [[stage]] {i}")
                for i, s in enumerate(parts.pop("stage", []), 1)
            ],
        },
        where,
    )
    _check(recipe, where)
    return recipe


def _check(recipe: Recipe, where: str) -> None:
    choices: list[tuple[str, str, tuple[str, ...]]] = [
        ("optimizer", recipe.optimizer.name, get_args(OptimizerName)),
        ("schedule", recipe.optimizer.schedule, get_args(ScheduleName)),
        ("precision", recipe.precision, get_args(Precision)),
        ("alphabet", recipe.alphabet, get_args(Alphabet)),
        *(("holdout", s.holdout, get_args(HoldoutUnit)) for s in recipe.sources),
    ]
    for setting, value, allowed in choices:
        if value not in allowed:
            raise InputError(f"{where}: {setting} {value!r} is not one of {', '.join(allowed)}")
    names = {s.name for s in recipe.sources}
    if not names or not recipe.stages:
        raise InputError(f"{where}: a recipe needs at least one [[source]] and one [[stage]]")
    for stage in recipe.stages:
        if missing := sorted(set(stage.repeats) - names):
            raise InputError(f"{where}: a stage repeats unknown source {', '.join(missing)}")
    for setting in ("steps", "batch_seconds", "batch_clips", "validate_every", "validation_clips"):
        if getattr(recipe, setting) <= 0:
            raise InputError(f"{where}: {setting} must be positive")


def _published(alphabet: Alphabet, learning_rate: float, weight_decay: float) -> Recipe:
    # 30 epochs of 28,539 utterances in batches of 128.
    return Recipe(
        model=Wav2LetterConfig(),
        alphabet=alphabet,
        sources=(Source("corpus", split="train", valid_split="dev", valid_share=0.0),),
        stages=(Stage(1.0, 60.0, {"corpus": 1.0}),),
        optimizer=OptimizerSettings(
            "adam", learning_rate, weight_decay, "plateau", plateau_patience=5, plateau_factor=0.1
        ),
        augment=AugmentSettings(speed=0.0),
        steps=6_690,
        batch_seconds=3_000.0,
        batch_clips=128,
        validate_every=223,
        validation_clips=2_703,
    )


_PRESETS: dict[str, Recipe] = {
    "published-hw4p2": _published("hw4p2", 2e-4, 5e-5),
    "published-hw3p2": _published("phonemes", 2e-3, 1e-5),
    "small": Recipe(
        model=Wav2LetterConfig(labels=29, width=128, head_width=512, batch_norm=True),
        sources=(Source("corpus"),),
        stages=(
            Stage(0.2, 4.0, {"corpus": 1.0}),
            Stage(1.0, 20.0, {"corpus": 1.0}),
        ),
    ),
}

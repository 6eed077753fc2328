"""A training recipe: all settings of a training run, in one TOML file.

The published recipes of "Quantization of CNN-based Language Models" and a small default are part of
the package (:func:`preset`). The recipe of a shipped checkpoint is in its folder.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal, TypeVar

from quantkit.disk.reading import parse_toml
from quantkit.errors import InputError
from quantkit.json_dataclass import build, build_list
from quantkit.json_fields import Range
from quantkit.models.checkpoint import LARGEST_SIZE
from quantkit.models.wav2letter import Wav2LetterConfig
from quantkit.tasks.names import ASG, CLASSIFICATION, CTC
from quantkit.training.transducers.settings import RnntSettings, TdtSettings
from quantkit.training.wav2vec2.settings import Wav2Vec2Settings

OptimizerName = Literal["adam", "adamw", "sgd"]
ScheduleName = Literal["one-cycle", "plateau", "constant"]
Precision = Literal["auto", "float32", "bfloat16"]
HoldoutUnit = Literal["speaker", "utterance"]
Alphabet = Literal["english", "hw4p2", "letters", "phonemes"]

#: Transducers of two losses.
RNNT, TDT = "rnnt", "tdt"
#: A wav2vec 2.0 that spells.
WAV2VEC2 = "wav2vec2"
#: What a recipe may train: a Wav2Letter, a classifier of short clips, a transducer, or a wav2vec
#: 2.0.
TASKS = (CTC, CLASSIFICATION, RNNT, TDT, WAV2VEC2)
#: Size of any model that spells.
ModelSize = Wav2LetterConfig | RnntSettings | Wav2Vec2Settings
#: What a Wav2Letter may be trained by.
CRITERIA = (CTC, ASG)
#: Sizes of the model of each task that spells.
MODELS: dict[str, type[ModelSize]] = {
    CTC: Wav2LetterConfig,
    RNNT: RnntSettings,
    TDT: TdtSettings,
    WAV2VEC2: Wav2Vec2Settings,
}


@dataclass(frozen=True)
class OptimizerSettings:
    """Optimizer and learning-rate schedule.

    Args:
        learning_rate: peak rate.
        schedule: ``one-cycle`` (Smith 2018) over ``Recipe.steps``; ``plateau`` divides the rate
            by ``1 / plateau_factor`` after ``plateau_patience`` validations without progress.
        warmup: share of a one-cycle run in which the rate rises.
        clip_norm: gradients are scaled down to this norm; 0 turns that off.
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
    """Augmentation of training clips; validation uses unchanged clips.

    Args:
        speed: largest relative change of speed and pitch, 0.1 meaning 0.9–1.1.
        noise_probability: share of clips that get white or pink noise.
        loudest_noise, quietest_noise: signal-to-noise ratios in dB between which it lies.
        room_probability: share of clips that are heard in a simulated room.
        speechless_probability: share of clips that are replaced by noise of the same length, with
            an empty transcript.
        padding_seconds: longest silence put before and, independently, after half of the clips.
        pause_seconds: longest silence put between utterances that are joined.
        time_masks, time_width: SpecAugment (Park et al. 2019): masks per ten seconds and
            their greatest width in frames.
        frequency_masks, frequency_width: likewise over mel bands, per clip.
    """

    speed: float = 0.1
    noise_probability: float = 0.0
    loudest_noise: float = 10.0
    quietest_noise: float = 40.0
    room_probability: float = 0.0
    speechless_probability: float = 0.0
    padding_seconds: float = 0.0
    pause_seconds: float = 0.0
    time_masks: int = 2
    time_width: int = 40
    frequency_masks: int = 2
    frequency_width: int = 8


@dataclass(frozen=True)
class Source:
    """One corpus in the mixture.

    Args:
        name: used in ``--data NAME=FOLDER``.
        folder: relative to the folder of ``--data FOLDER``; empty: ``name``.
        split: use only this split of the corpus; empty: ``train`` if the corpus has it, else all
            but the evaluation splits (``test``, ``dev``, ``valid``, ``calibration``, …).
        valid_split: take validation clips from this split instead of holding some out.
        test_share: share of speakers or clips held out for the test, chosen by hash.
        valid_share: likewise, for validation.
        holdout: whether whole speakers or single clips are held out.
        rename: transcripts to replace, e.g. ``{silence = ""}``.
        drop: transcripts to leave out.
        join: most clips that are joined into one training clip.
        join_speakers: whether those of several speakers are joined.
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
    join_speakers: bool = True


@dataclass(frozen=True)
class Stage:
    """A part of the curriculum.

    Args:
        until: share of ``Recipe.steps`` at which this stage ends.
        max_seconds: longer clips are left to a later stage.
        repeats: how often an epoch uses each source; a share below 1 draws a new part of it each
            epoch. Other sources are left out.
    """

    until: float
    max_seconds: float
    repeats: dict[str, float]


@dataclass(frozen=True)
class TeacherSettings:
    """Whose hidden states a wav2vec 2.0 learns to predict before it learns to spell.

    Args:
        checkpoint: folder of a Wav2Letter; in a file, relative to the file.
        steps: of the optimizer, behind which CTC begins; a longer run learns longer by that.
    """

    checkpoint: str
    steps: int = 500


@dataclass(frozen=True)
class Recipe:
    """All settings of one training run.

    Args:
        model: a Wav2Letter, whose number of labels is set by the alphabet, a transducer, or a
            wav2vec 2.0.
        teacher: of a wav2vec 2.0; None: it learns by CTC alone.
        convolutions: of a wav2vec 2.0: folder of a trained relative, such as a keyword spotter,
            whose first convolutions it begins with; in a file, relative to the file. Empty: random
            ones behind mel filters.
        alphabet: ``english``, ``hw4p2``, or derived from the training transcripts: single
            ``letters``, or ``phonemes`` with spaces between.
        criterion: ``ctc``; or ``asg``, the auto segmentation criterion of Wav2Letter, for which the
            alphabet has no blank; see :mod:`quantkit.training.criteria`.
        repeats: repetition symbols of the alphabet for ``asg``.
        steps: optimizer steps.
        batch_seconds: longest padded duration of a batch; ``batch_clips`` limits its clips.
        freeze_norm_from: share of the steps after which the statistics of batch norm are frozen;
            0 leaves those of the checkpoint that the run starts from.
        average_decay: of the moving average of the weights that is validated and kept; 0 keeps the
            weights themselves.
        validation_clips: most clips of each source. Those of a transducer are joined as clips to
            train on are.
        precision: ``auto`` uses bfloat16 if the hardware supports it.
    """

    model: ModelSize
    sources: tuple[Source, ...]
    stages: tuple[Stage, ...]
    alphabet: Alphabet = "english"
    criterion: str = CTC
    repeats: int = 2
    optimizer: OptimizerSettings = OptimizerSettings()
    augment: AugmentSettings = AugmentSettings()
    teacher: TeacherSettings | None = None
    convolutions: str = ""
    steps: int = 10_000
    batch_seconds: float = 60.0
    batch_clips: int = 128
    validate_every: int = 500
    freeze_norm_from: float = 1.0
    average_decay: float = 0.0
    validation_clips: int = 150
    precision: Precision = "auto"
    seed: int = 0

    def stage_at(self, step: int) -> Stage:
        """The stage that ``step`` belongs to."""
        share = step / max(1, self.steps)
        return next((s for s in self.stages if share < s.until), self.stages[-1])


def load_recipe(path: Path) -> Recipe:
    """Read a recipe for a model that spells, with CTC or as a transducer, from TOML.

    Raises:
        InputError: unreadable file, another task, unknown setting, or a value of wrong type or
            out of range.
    """
    task = task_of(path)
    model = MODELS.get(task, Wav2LetterConfig)
    recipe = _recipe_from(read_recipe(path, task if task in MODELS else CTC), model, str(path))
    if recipe.teacher is not None:
        checkpoint = str(path.parent / recipe.teacher.checkpoint)
        recipe = replace(recipe, teacher=replace(recipe.teacher, checkpoint=checkpoint))
    if recipe.convolutions:
        recipe = replace(recipe, convolutions=str(path.parent / recipe.convolutions))
    return recipe


def task_of(path: Path) -> str:
    """What the recipe ``path`` trains: its top-level ``task``; CTC where it names none.

    Raises:
        InputError: unreadable file, or no task that there is.
    """
    task = _read_toml(path).get("task", CTC)
    if task not in TASKS:
        raise InputError(f"{path}: task must be one of {', '.join(TASKS)}, not {task!r}")
    return str(task)


def read_recipe(path: Path, task: str) -> dict[str, Any]:
    """The tables of a recipe for ``task``, without their ``task``.

    Raises:
        InputError: unreadable file, or a recipe for another task.
    """
    found = task_of(path)
    if found != task:
        raise InputError(f"recipe {path} is for the task {found!r}, not for {task!r}")
    return {name: value for name, value in _read_toml(path).items() if name != "task"}


def _read_toml(path: Path) -> dict[str, Any]:
    try:
        return parse_toml(path)
    except OSError as error:
        raise InputError(f"cannot read recipe {path}: {error.strerror or error}") from error
    except ValueError as error:
        raise InputError(f"recipe {path} is not TOML: {error}") from error
    except RecursionError:
        raise InputError(f"recipe {path} is not usable: it is nested too deeply") from None


def preset(name: str) -> Recipe:
    """A recipe of the package: ``published-hw4p2``, ``published-hw3p2``, ``small``.

    Raises:
        InputError: no such preset.
    """
    if name not in _PRESETS:
        raise InputError(f"no recipe {name!r}; there are {', '.join(sorted(_PRESETS))}")
    return _PRESETS[name]


def preset_names() -> tuple[str, ...]:
    """Names that :func:`preset` knows."""
    return tuple(sorted(_PRESETS))


_SHARE = Range(0, 1)
#: Signal-to-noise ratios.
DECIBELS = Range(-100, 100)
_COUNT = Range(0, 1_000_000)
_POSITIVE_COUNT = Range(1, 1_000_000_000)
_POSITIVE = Range(0, above=True)
_SIZE = Range(1, LARGEST_SIZE)

_TRANSDUCER = {
    "mel_bands": Range(16, 256),
    "hidden_size": _SIZE,
    "num_hidden_layers": Range(1, 1_000),
    "num_attention_heads": _SIZE,
    "intermediate_size": _SIZE,
    "conv_kernel_size": Range(1, 1_001),
    "subsampling_conv_channels": _SIZE,
    "dropout": Range(0, 1, below=True),
    "decoder_hidden_size": _SIZE,
    "num_decoder_layers": Range(1, 100),
}

#: Ranges of the numbers in a recipe's tables.
RANGES: dict[type, dict[str, Range]] = {
    RnntSettings: _TRANSDUCER,
    TdtSettings: _TRANSDUCER | {"longest_duration": Range(1, 100)},
    Wav2Vec2Settings: {
        "conv_dim": _SIZE,
        "conv_kernel": _SIZE,
        "conv_stride": _SIZE,
        "hidden_size": _SIZE,
        "num_hidden_layers": Range(1, 1_000),
        "num_attention_heads": _SIZE,
        "intermediate_size": _SIZE,
        "num_conv_pos_embeddings": _SIZE,
        "num_conv_pos_embedding_groups": _SIZE,
        "hidden_dropout": Range(0, 1, below=True),
        "layerdrop": Range(0, 1, below=True),
    },
    TeacherSettings: {"steps": _POSITIVE_COUNT},
    Wav2LetterConfig: {
        "features": _SIZE,
        "labels": _SIZE,
        "width": _SIZE,
        "head_width": _SIZE,
        "dropout": Range(0, 1, below=True),
    },
    OptimizerSettings: {
        "learning_rate": _POSITIVE,
        "weight_decay": Range(0),
        "warmup": _SHARE,
        "plateau_patience": _COUNT,
        "plateau_factor": Range(0, 1, above=True, below=True),
        "clip_norm": Range(0),
    },
    AugmentSettings: {
        "speed": Range(0, 1, below=True),
        "noise_probability": _SHARE,
        "loudest_noise": DECIBELS,
        "quietest_noise": DECIBELS,
        "room_probability": _SHARE,
        "speechless_probability": _SHARE,
        "padding_seconds": Range(0, 60),
        "pause_seconds": Range(0, 60),
        "time_masks": _COUNT,
        "time_width": _COUNT,
        "frequency_masks": _COUNT,
        "frequency_width": _COUNT,
    },
    Source: {"test_share": _SHARE, "valid_share": _SHARE, "join": Range(1, 1_000_000)},
    Stage: {
        "until": Range(0, 1, above=True),
        "max_seconds": _POSITIVE,
        "repeats": Range(0, 1_000),
    },
    Recipe: {
        "steps": _POSITIVE_COUNT,
        "batch_seconds": _POSITIVE,
        "batch_clips": _POSITIVE_COUNT,
        "validate_every": _POSITIVE_COUNT,
        "average_decay": Range(0, 1, below=True),
        "validation_clips": _POSITIVE_COUNT,
        "repeats": Range(0, 8),
        # The range that both torch's and NumPy's generators accept.
        "seed": Range(0, 2**63 - 1),
    },
}

_T = TypeVar("_T")


def _recipe_from(content: dict[str, Any], model: type[ModelSize], where: str) -> Recipe:
    parts = dict(content)

    def one(cls: type[_T], name: str) -> _T:
        return build(cls, parts.pop(name, {}), f"{where}, [{name}]", RANGES[cls])

    def several(cls: type[_T], name: str) -> tuple[_T, ...]:
        return build_list(cls, parts.pop(name, []), name, where, RANGES[cls])

    tables: dict[str, Any] = {
        "model": one(model, "model"),
        "optimizer": one(OptimizerSettings, "optimizer"),
        "augment": one(AugmentSettings, "augment"),
        "teacher": one(TeacherSettings, "teacher") if "teacher" in parts else None,
    }
    lists = {"sources": several(Source, "source"), "stages": several(Stage, "stage")}
    if misnamed := sorted(parts.keys() & lists.keys()):
        raise InputError(f"{where}: unknown setting {', '.join(misnamed)}")
    recipe = build(Recipe, {**parts, **tables, **lists}, where, RANGES[Recipe])
    _check(recipe, where)
    return recipe


def _check(recipe: Recipe, where: str) -> None:
    """Checks across several tables."""
    if recipe.criterion not in CRITERIA:
        raise InputError(
            f"{where}: criterion must be one of {', '.join(CRITERIA)}, not {recipe.criterion!r}"
        )
    check_noise(recipe.augment.loudest_noise, recipe.augment.quietest_noise, where)
    if not isinstance(recipe.model, Wav2LetterConfig) and (problem := recipe.model.problem()):
        raise InputError(f"{where}, [model]: {problem}")
    if not isinstance(recipe.model, Wav2Vec2Settings):
        for name in ("teacher", "convolutions"):
            if getattr(recipe, name):
                raise InputError(f"{where}: only a model of task {WAV2VEC2!r} has {name}")
    names = [s.name for s in recipe.sources]
    if not names or not recipe.stages:
        raise InputError(f"{where}: a recipe needs at least one [[source]] and one [[stage]]")
    check_sources(recipe.sources, where)
    for i, stage in enumerate(recipe.stages, 1):
        if missing := sorted(set(stage.repeats) - set(names)):
            raise InputError(
                f"{where}, [[stage]] {i}: repeats names unknown source {', '.join(missing)}"
            )


def check_noise(loudest: float, quietest: float, where: str) -> None:
    """Refuse signal-to-noise ratios in the wrong order.

    Raises:
        InputError: with ``where``.
    """
    if quietest < loudest:
        raise InputError(f"{where}, [augment]: quietest_noise must not be below loudest_noise")


def check_sources(sources: Sequence[Source], where: str) -> None:
    """Refuse sources that share a name, or leave nothing to train on.

    Raises:
        InputError: with ``where`` and the source's number.
    """
    names = [s.name for s in sources]
    for i, source in enumerate(sources, 1):
        if not source.name or names.index(source.name) != i - 1:
            raise InputError(f"{where}, [[source]] {i}: every source needs a unique name")
        if source.test_share + source.valid_share >= 1:
            raise InputError(
                f"{where}, [[source]] {i}: test_share and valid_share leave nothing to train on"
            )


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

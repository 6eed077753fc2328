"""The models of a bench run, heard once more on clips that something was added to."""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

from quantkit.api.bench import bench
from quantkit.api.inputs import Audio, corpus_of
from quantkit.audio.augmentation.alteration import parse_alteration
from quantkit.audio.utterance import Corpus
from quantkit.benchmarking.figures import Figures, ModelFigures, figures_of
from quantkit.benchmarking.settings import BenchSettings
from quantkit.errors import InputError
from quantkit.progress import Progress
from quantkit.slices.by import parse_by
from quantkit.text.decoding import Decoding

_GREEDY = "greedy"


@dataclass(frozen=True)
class AddedSounds:
    """What the clips of a run are heard with once more.

    >>> AddedSounds("recordings", ("noise:10dB,reverb", "telephone")).seed
    0

    Args:
        data: has the clips of the run.
        sounds: each is a run of its own; see :mod:`quantkit.audio.augmentation.alteration`.
        seed: of every random choice.

    Raises:
        InputError: no such sound, or none at all.
    """

    data: Audio
    sounds: tuple[str, ...]
    seed: int = 0

    def __post_init__(self) -> None:
        if not self.sounds:
            raise InputError("there is no sound to add; name one such as noise:10dB")
        for sound in self.sounds:
            parse_alteration(sound, self.seed)


def heard_with(run: Figures, added: AddedSounds, progress: Progress | None = None) -> list[Figures]:
    """Figures of the models of ``run`` on its clips with each of the sounds.

    Texts are compared as in the run; sizes and speeds do not depend on sounds.

    Args:
        run: names the files of its models; they are the same still.

    Raises:
        InputError: a model or a clip of the run is not there any more, or the run was decoded in
            a way that is not in its report.
        ModelError, AudioError, CorpusError: see :func:`quantkit.bench`.
    """
    paths = [_path(model) for model in run.models]
    clips = _clips_of(run, corpus_of(added.data, None))
    greedy = run.decoder == _GREEDY
    settings = BenchSettings(
        decoding=Decoding(_GREEDY) if greedy else BenchSettings().decoding,
        normalization=run.normalization,
        split="all",
        batch_sizes=(1,),
        threads=(1,),
        sweep_utterances=0,
        seed=added.seed,
        by=tuple(parse_by(",".join(run.by))) if run.by else (),
        rare_words=frozenset(run.rare_words) or None,
    )
    found = []
    for sound in added.sounds:
        report = bench(paths, clips, settings=settings, add=sound, progress=progress)
        again = figures_of(report.to_json(), f"the run with {sound}")
        found.append(_same_models(run, again))
    return found


def _path(model: ModelFigures) -> Path:
    if not model.path or not Path(model.path).exists():
        raise InputError(
            f"model {model.name} of the bench run is not at {model.path or 'any place it names'}: "
            "to hear it with sounds, gate from the folder that the run was made in"
        )
    return Path(model.path)


def _clips_of(run: Figures, corpus: Corpus) -> Corpus:
    wanted = run.models[0].texts.keys()
    chosen = tuple(each for each in corpus if each.identifier in wanted)
    missing = wanted - {each.identifier for each in chosen}
    if missing:
        raise InputError(
            f"{len(missing)} of {len(wanted)} clips of the bench run are not in {corpus.name}, "
            f"such as {min(missing)}; give the data that it was made with"
        )
    return replace(corpus, utterances=chosen)


def _same_models(run: Figures, again: Figures) -> Figures:
    """The figures with the names of the run.

    Raises:
        InputError: a file was changed since, or texts are decoded in another way.
    """
    for old, new in zip(run.models, again.models, strict=True):
        if old.sha256 and new.sha256 and old.sha256 != new.sha256:
            raise InputError(
                f"model {old.name} is another file than the bench run measured; measure it anew"
            )
    if again.decoder != run.decoder:
        raise InputError(
            f"the bench run was decoded by {run.decoder}, and sounds would be heard by "
            f"{again.decoder}: measure with --decoder greedy, or let bench add the sound"
        )
    names = (replace(new, name=old.name) for old, new in zip(run.models, again.models, strict=True))
    return replace(again, models=tuple(names))

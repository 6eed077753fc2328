"""What the gate finds in slices, and how often it is wrong.

Run it from the repository after ``make export``: ``python -m benchmarks.gate_slices --data
FOLDER``, with ``librispeech/``, ``prompts/`` and ``german/`` in the folder. It takes some minutes,
keeps what it has heard in ``build/gate_slices``, goes on there when it is run again, and renews its
section of RESULTS.md. ``--seeds 5`` is quicker.

The shipped model in int8 hears clips of six languages, among them long ones (several of a speaker
joined) and quiet ones (a third of the English clips, 45 dB quieter). Then it is damaged, each time
for some of the clips, and the gate holds it to what it was. Nothing but the damage differs: the
same noise, 40 dB below the speech, is added to each clip before and after.

Where nothing is damaged, before and after differ by the seed of that noise. Neither is better, so
every failure of a slice is a false alarm.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import click
import numpy as np

import quantkit
from benchmarks.cells import ROOT
from benchmarks.low_rank import SOURCE
from benchmarks.results import host, replace_section, table
from quantkit.audio.augmentation.alteration import parse_alteration
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.audio.frontend import Frontend
from quantkit.audio.utterance import Corpus, Utterance
from quantkit.benchmarking.baseline import Baseline, Tolerance
from quantkit.benchmarking.figures import Figures, figures_of
from quantkit.benchmarking.gate import compare, compare_runs
from quantkit.benchmarking.gate_result import Check, GateResult
from quantkit.benchmarking.held import GateOptions, Held
from quantkit.disk.files import write_json
from quantkit.graph.artifact import load_model, read_info, save_model
from quantkit.graph.info import set_info
from quantkit.quantization.choices.settings import LayerRule, QuantizeSettings
from quantkit.runtime.speech_model import SpeechModel
from quantkit.slices.properties import properties_of
from quantkit.tasks.open import open_speech_model
from quantkit.text.distances import levenshtein
from quantkit.text.scoring import TextScoring

FOLDER = ROOT / "build" / "gate_slices"
RATE = 16_000
BY = ("language", "gender", "length:20", "level:-50", "words")
#: Layers of the weak model.
WEAK = tuple(f"layer{number}.conv=bitplane:1" for number in (5, 7, 9))
#: Share of runs without damage in which the gate may fail.
FALSE_ALARMS = 0.05
NOISE = "noise:40dB"
#: No worsening is tolerated at all, and what is by default.
USUAL = "2 % + 0.02"
TOLERANCES = {"none": Tolerance(0.0), USUAL: Tolerance(0.02, 0.02)}

_SHORT, _LONG, _GERMAN, _PROMPTS = 45, 14, 25, 10
_LONGER_THAN, _CALIBRATION = 21.0, 24
# A clip loses so many seconds at its beginning; a long one what is behind so many.
_LATE, _HEARD = 0.9, 18.0
# What the front end adds to energies; the model learnt with 1e-5.
_OFFSET = 1e-3

Texts = Mapping[str, str]
#: What becomes of the audio of a clip.
Change = Callable[[Utterance], Utterance]


@dataclass(frozen=True)
class Damage:
    """What is done to a model, and where.

    Args:
        name: in the table.
        model: that is run on the damaged clips.
        hit: whether a clip is damaged.
        change: of its audio.
        expected: the slice that must fail.
        by_labels: whether transcripts show it; else the words that change do.
    """

    name: str
    model: Path
    hit: Callable[[Utterance], bool]
    change: Change
    expected: str
    by_labels: bool = True


def clips_of(data: Path) -> Corpus:
    """The clips: short English ones, a third of them quiet, long ones, and other languages."""
    english = open_corpus(data / "librispeech").select(split="dev")
    short = english.sample(_SHORT, 0)
    found: list[Utterance] = []
    for i, clip in enumerate(short):
        found.append(_quiet(clip) if i % 3 == 0 else clip)
    rest = [each for each in english if each not in set(short)]
    found += [*_joined(rest)][:_LONG]
    found += open_corpus(data / "german").sample(_GERMAN, 0)
    prompts = open_corpus(data / "prompts")
    for language in prompts.values("language"):
        found += prompts.select(language=language).sample(_PROMPTS, 0)
    return Corpus("six languages", tuple(found))


def _quiet(clip: Utterance) -> Utterance:
    quiet = load_waveform(clip, RATE) * np.float32(10 ** (-45 / 20))
    return replace(clip, path=None, waveform=quiet, sample_rate=RATE, name=f"quiet/{clip.name}")


def _joined(clips: Sequence[Utterance]) -> Iterator[Utterance]:
    """Clips of one speaker, one behind the other until they are long enough."""
    pending: list[Utterance] = []
    for clip in clips:
        if pending and pending[0].speaker != clip.speaker:
            pending = []
        pending.append(clip)
        if sum(each.seconds for each in pending) > _LONGER_THAN:
            sound = np.concatenate([load_waveform(each, RATE) for each in pending])
            yield replace(
                clip,
                path=None,
                waveform=sound,
                sample_rate=RATE,
                text=" ".join(each.text or "" for each in pending),
                seconds=sound.size / RATE,
                name=f"long/{clip.name}",
            )
            pending = []


def models() -> tuple[Path, Path, Path]:
    """The int8 file, one with layers in 1 bit, and one with another front end."""
    FOLDER.mkdir(parents=True, exist_ok=True)
    whole, weak, deaf = (FOLDER / f"{name}.onnx" for name in ("int8", "one-bit", "front-end"))
    heard = open_corpus(ROOT / "calibration_data").select(split="calibration")
    for path, rules in ((whole, ()), (weak, tuple(map(LayerRule.parse, WEAK)))):
        if not path.exists():
            settings = QuantizeSettings(compute="static", rules=rules)
            quantkit.quantize(SOURCE, path, settings, heard.sample(_CALIBRATION, 0))
    if not deaf.exists():
        info, model = read_info(whole), load_model(whole)
        assert isinstance(info.frontend, Frontend)
        set_info(model, replace(info, frontend=replace(info.frontend, log_offset=_OFFSET)))
        save_model(model, deaf)
    return whole, weak, deaf


def damages(whole: Path, weak: Path, deaf: Path) -> list[Damage]:
    """All of them."""
    return [
        Damage(
            "English: layers 5, 7 and 9 in 1 bit",
            weak,
            lambda clip: clip.language == "en",
            lambda clip: clip,
            "language: en",
        ),
        # The model knows no German, so that its errors there could hardly be more.
        Damage(
            "German, which it does not know: the same",
            weak,
            lambda clip: clip.language == "de",
            lambda clip: clip,
            "language: de",
            by_labels=False,
        ),
        Damage(
            f"clips over 20 s: nothing heard behind {_HEARD:g} s",
            whole,
            lambda clip: clip.seconds > _LONGER_THAN,
            lambda clip: _part(clip, 0.0, _HEARD),
            "length: from 20 s",
        ),
        Damage(
            f"front end with log_offset {_OFFSET:g} in place of 1e-5, all clips",
            deaf,
            lambda clip: True,
            lambda clip: clip,
            "level: below -50 dB",
        ),
        Damage(
            f"all clips begin {_LATE:g} s late",
            whole,
            lambda clip: True,
            lambda clip: _part(clip, _LATE, np.inf),
            "words: first",
        ),
    ]


def _part(clip: Utterance, start: float, stop: float) -> Utterance:
    sound = load_waveform(clip, RATE)
    end = sound.size if stop == np.inf else round(stop * RATE)
    part = sound[round(start * RATE) : end]
    return replace(clip, path=None, content=None, alteration=None, waveform=part, sample_rate=RATE)


def heard(
    name: str, model: Path, corpus: Corpus, seed: int, change: Change = lambda clip: clip
) -> Texts:
    """What a model writes for each clip, from an earlier run where there was one."""
    kept = FOLDER / f"{name}.json"
    if kept.exists():
        texts: Texts = json.loads(kept.read_text(encoding="utf-8"))
        if texts.keys() == {clip.identifier for clip in corpus}:
            return texts
    opened = open_speech_model(model)
    sound = parse_alteration(NOISE, seed)
    found = {
        clip.identifier: _text(opened, change(replace(clip, alteration=sound))) for clip in corpus
    }
    write_json(kept, found)
    return found


def _text(model: SpeechModel, clip: Utterance) -> str:
    (output,) = model.outputs([model.features(clip)])
    return model.text_of(output)


def figures(
    corpus: Corpus, model: SpeechModel, texts: Mapping[str, Texts], clips: Sequence[Any]
) -> Figures:
    """A bench run in which nothing but texts was measured.

    Args:
        texts: of each model, by its name.
        clips: what is known of them.
    """
    document = {
        "host": {"cpu": "", "machine": "", "vnni": True, "onnxruntime": ""},
        "corpus": {"name": corpus.name},
        "unit": model.scoring.unit.name,
        "by": list(BY),
        "clips": clips,
        "models": [
            {
                "name": name,
                "size_bytes": 1,
                "speedup": 1.0,
                "wer": 1,
                "utterances": _utterances(corpus, model.scoring, own),
            }
            for name, own in texts.items()
        ],
    }
    return figures_of(document, "the study")


def _utterances(corpus: Corpus, scoring: TextScoring, texts: Texts) -> list[dict[str, Any]]:
    found = []
    for clip in corpus:
        said = scoring.normalized(clip.text or "", clip.language)
        written = scoring.heard(texts[clip.identifier], clip.language)
        found.append(
            {
                "id": clip.identifier,
                "reference": said,
                "hypothesis": written,
                "distance": levenshtein(scoring.units(said), scoring.units(written)),
            }
        )
    return found


@dataclass(frozen=True)
class Gate:
    """The gate over the clips of the study."""

    corpus: Corpus
    model: SpeechModel
    clips: Sequence[Any]

    def run(self, texts: Mapping[str, Texts]) -> Figures:
        """The figures of models by the names of their texts."""
        return figures(self.corpus, self.model, texts, self.clips)

    def against_before(self, before: Texts, after: Texts, tolerance: Tolerance) -> GateResult:
        """By edits and words of transcripts."""
        options = GateOptions(
            criteria=("levenshtein", "wer"),
            tolerances={"levenshtein": tolerance, "wer": tolerance},
            false_alarms=FALSE_ALARMS,
        )
        return compare(self.run({"int8": after}), Baseline(self.run({"int8": before})), options)

    def label_free(self, before: Texts, after: Texts) -> GateResult:
        """By the words that change, as of two models in one run."""
        held = Held.against(self.run({"before": before, "after": after}), "before")
        options = GateOptions(criteria=("changed",), false_alarms=FALSE_ALARMS)
        return compare_runs([held], options)


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
@click.option("--seeds", type=click.IntRange(min=2), default=20, show_default=True)
def main(data: Path, seeds: int) -> None:
    """Damage, gate, and renew RESULTS.md."""
    if not SOURCE.exists():
        raise click.ClickException(f"{SOURCE} is missing: run `make export` first")
    corpus = clips_of(data)
    whole, weak, deaf = models()
    opened = open_speech_model(whole)
    properties = [vars(properties_of(clip, clip.text, sound=True)) for clip in corpus]
    gate = Gate(corpus, opened, properties)
    before = heard("undamaged-0", whole, corpus, 0)
    rows = []
    for damage in damages(whole, weak, deaf):
        click.echo(damage.name, err=True)
        hit = tuple(clip for clip in corpus if damage.hit(clip))
        some = replace(corpus, utterances=hit)
        name = f"damaged-{damage.expected.replace(' ', '-').replace(':', '')}"
        after = {**before, **heard(name, damage.model, some, 0, damage.change)}
        result = (
            gate.against_before(before, after, TOLERANCES[USUAL])
            if damage.by_labels
            else gate.label_free(before, after)
        )
        failed = [check for check in result.failures if check.slice]
        found = [each for each in failed if each.slice == damage.expected]
        rows.append(
            [
                damage.name,
                str(len(hit)),
                "; ".join(map(_in_words, found)) or "missed",
                str(len(failed) - len(found)),
                ", ".join(c.criterion for c in result.failures if not c.slice) or "nothing",
            ]
        )
    undamaged = [before]
    for seed in range(1, seeds + 1):
        click.echo(f"seed {seed} of {seeds}", err=True)
        undamaged.append(heard(f"undamaged-{seed}", whole, corpus, seed))
    alarms = [_alarms(gate, undamaged, name) for name in TOLERANCES]
    section = _section(rows, alarms, corpus, seeds)
    click.echo(section)
    replace_section("gate_slices", section)


def _in_words(check: Check) -> str:
    return f"{check.slice}, {check.criterion} {check.baseline:.2f} → {check.current:.2f}"


def _alarms(gate: Gate, runs: Sequence[Texts], tolerance: str) -> list[str]:
    """False alarms in runs one after the other, and the other way round."""
    allowed = TOLERANCES[tolerance]

    def fails(before: Texts, after: Texts) -> bool:
        result = gate.against_before(before, after, allowed)
        return any(check.slice for check in result.failures)

    following = [fails(a, b) for a, b in pairwise(runs)]
    back = [fails(b, a) for a, b in pairwise(runs)]
    checks = gate.against_before(runs[0], runs[1], allowed).checks
    tested = sum(bool(check.slice) and check.verdict != "skipped" for check in checks)
    return [
        tolerance,
        str(tested),
        f"{sum(following)} of {len(following)}",
        f"{sum(back)} of {len(back)}",
    ]


def _section(
    rows: Sequence[Sequence[str]], alarms: Sequence[Sequence[str]], corpus: Corpus, seeds: int
) -> str:
    return "\n\n".join(
        [
            "## Damage that a gate finds in slices",
            f"`python -m benchmarks.gate_slices --data FOLDER --seeds {seeds}`: the shipped model "
            f"in int8 on {len(corpus)} clips ({corpus.seconds / 60:.0f} min) of six languages, "
            f"greedy, held to itself by edits and by words, in slices by {', '.join(BY)}. At most "
            f"{100 * FALSE_ALARMS:g} % of runs without damage may fail in any slice. {host()}.",
            f"Tolerance: {USUAL}, for all clips and for slices; of words changed 2 % + 0.1. Other "
            "slices that fail share clips with the damaged one. The model was trained on English: "
            "of German, what changes in its text is gated, without transcripts.",
            table(
                (
                    "damage",
                    "clips",
                    "found in its slice (before → after)",
                    "other slices that fail",
                    "fails on all clips",
                ),
                rows,
            ),
            "Without damage: runs that differ by the seed of noise 40 dB below the speech. Each is "
            "held to the one before it, and the other way round.",
            table(
                ("tolerance", "slices", "runs with a false alarm", "the other way round"), alarms
            ),
        ]
    )


if __name__ == "__main__":
    main()

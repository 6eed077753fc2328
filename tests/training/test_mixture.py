from __future__ import annotations

import random
from pathlib import Path

import pytest

from quantkit.audio.utterance import Corpus, Utterance
from quantkit.errors import CorpusError
from quantkit.text.labels import Labels
from quantkit.training.mixture import Mixture, held_out_part, joined_text, open_source
from quantkit.training.recipe import Source, Stage


def _corpus(name: str, seconds: list[float]) -> Corpus:
    return Corpus(
        name, tuple(Utterance(Path(f"{name}{i}"), "a", seconds=s) for i, s in enumerate(seconds))
    )


def test_no_speaker_is_both_trained_on_and_tested() -> None:
    source = Source("words", holdout="speaker", test_share=0.3, valid_share=0.1)
    utterances = [Utterance(Path(f"{i}.wav"), speaker=f"s{i % 50}") for i in range(500)]
    parts: dict[str, set[str]] = {}
    for utterance in utterances:
        parts.setdefault(utterance.speaker, set()).add(held_out_part(utterance, source))
    assert all(len(found) == 1 for found in parts.values())
    everything = [next(iter(found)) for found in parts.values()]
    assert {"train", "valid", "test"} == set(everything)


def test_parts_do_not_depend_on_where_the_corpus_lies(tone_corpus: Path) -> None:
    source = Source("tones", valid_share=0.2)
    labels = Labels.english()
    names = {
        u.path.name for u in open_source(source, tone_corpus, labels, "valid") if u.path is not None
    }
    link = tone_corpus.parent / "elsewhere"
    link.symlink_to(tone_corpus)
    moved = open_source(source, link, labels, "valid")
    assert {u.path.name for u in moved if u.path is not None} == names


def test_transcripts_can_be_renamed_or_dropped(tone_corpus: Path) -> None:
    labels = Labels.english()
    everything = open_source(Source("t", valid_share=0), tone_corpus, labels, "train")
    some = next(u.text for u in everything if u.text)
    other = next(u.text for u in everything if u.text != some and u.text)
    source = Source("t", valid_share=0, rename={some: ""}, drop=(other,))
    texts = [u.text for u in open_source(source, tone_corpus, labels, "train")]
    assert "" in texts
    assert some not in texts
    assert other not in texts


def test_unlabelled_audio_cannot_be_trained_on(tone_corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "clip.wav").write_bytes((tone_corpus / "0.wav").read_bytes())
    with pytest.raises(CorpusError, match="no transcript"):
        open_source(Source("t"), tmp_path, Labels.english(), "train")


def test_a_stage_repeats_draws_and_leaves_out() -> None:
    sources = (Source("a"), Source("b"), Source("c"))
    mixture = Mixture(sources, {n: _corpus(n, [1.0] * 20 + [9.0] * 5) for n in "abc"})
    clips = mixture.epoch(Stage(1.0, 3.0, {"a": 2.0, "b": 0.5}), random.Random(0))
    heard = [clip[0].path.name[0] for clip in clips if clip[0].path is not None]
    assert (heard.count("a"), heard.count("b"), heard.count("c")) == (40, 10, 0)
    assert all(clip[0].seconds <= 3.0 for clip in clips)


def test_joined_clips_stay_short_and_read_as_one_text() -> None:
    mixture = Mixture((Source("a", join=4),), {"a": _corpus("a", [1.0] * 50)})
    clips = mixture.epoch(Stage(1.0, 3.0, {"a": 1.0}), random.Random(0))
    assert sum(len(c) for c in clips) == 50
    assert {len(c) for c in clips} == {1, 2, 3}
    silence = Utterance(Path("s"), "")
    word = Utterance(Path("w"), "yes")
    assert joined_text((word, silence, word)) == "yes yes"


def test_nothing_short_enough_is_an_error() -> None:
    mixture = Mixture((Source("a"),), {"a": _corpus("a", [9.0])})
    with pytest.raises(CorpusError, match="shorter than"):
        mixture.epoch(Stage(1.0, 3.0, {"a": 1.0}), random.Random(0))


def _split_corpus(folder: Path, tones: Path, splits: list[str]) -> Path:
    folder.mkdir()
    rows = ["path\tsplit\tspeaker\tgender\tlanguage\tseconds\ttext"]
    for i, split in enumerate(splits):
        (folder / f"{i}.wav").write_bytes((tones / f"{i}.wav").read_bytes())
        rows.append(f"{i}.wav\t{split}\t\t\ten\t1.0\ta")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.mark.parametrize(
    ("splits", "valid_split", "heard"),
    [
        (["train", "test", "extra"], "", {"train"}),
        (["train-clean-100", "dev-clean", "test-other"], "", {"train-clean-100"}),
        (["all", "calibration", "validation", "Test"], "", {"all"}),
        (["", "test"], "", {""}),
        (["spoken", "read"], "read", {"spoken"}),
    ],
)
def test_what_is_kept_for_measuring_is_never_trained_on(
    tmp_path: Path, tone_corpus: Path, splits: list[str], valid_split: str, heard: set[str]
) -> None:
    folder = _split_corpus(tmp_path / "corpus", tone_corpus, splits * 10)
    source = Source("corpus", valid_share=0.2, valid_split=valid_split)
    corpus = open_source(source, folder, Labels.english(), "train")
    assert {u.split for u in corpus} == heard
    held_out = open_source(source, folder, Labels.english(), "valid")
    assert {u.split for u in held_out} == ({valid_split} if valid_split else heard)


def test_a_split_that_is_named_is_used(tmp_path: Path, tone_corpus: Path) -> None:
    folder = _split_corpus(tmp_path / "corpus", tone_corpus, ["calibration", "test"] * 10)
    with pytest.raises(CorpusError, match="all are of the splits calibration, test; name one"):
        open_source(Source("corpus"), folder, Labels.english(), "train")
    source = Source("corpus", split="calibration")
    assert {u.split for u in open_source(source, folder, Labels.english(), "train")} == {
        "calibration"
    }


def test_clips_of_one_speaker_are_joined_where_those_of_several_are_not() -> None:
    spoken = [
        Utterance(Path(f"{i}"), "a", speaker=f"s{i % 3}", seconds=1.0, name=str(i))
        for i in range(30)
    ]
    stage = Stage(1.0, 4.5, {"words": 1.0})
    for join_speakers in (True, False):
        source = Source("words", join=6, join_speakers=join_speakers)
        mixture = Mixture((source,), {"words": Corpus("words", tuple(spoken))})
        clips = mixture.epoch(stage, random.Random(0))
        assert sorted(u.name for clip in clips for u in clip) == sorted(u.name for u in spoken)
        assert max(map(len, clips)) == 4
        assert any(len({u.speaker for u in clip}) > 1 for clip in clips) == join_speakers

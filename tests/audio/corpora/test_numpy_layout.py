"""HW3P2 and HW4P2: ready-made features and transcripts in ``.npy`` files."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantkit.audio.corpora import load_numpy, open_corpus
from quantkit.audio.features import iter_features
from quantkit.audio.frontend import Frontend
from quantkit.errors import CorpusError


def objects(*items: Any) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        array[index] = item
    return array


def clips(*frames: int, bands: int = 40) -> np.ndarray:
    random = np.random.default_rng(0)
    return objects(*(random.normal(size=(count, bands)) for count in frames))


def save(folder: Path, **arrays: np.ndarray) -> Path:
    for name, array in arrays.items():
        np.save(folder / f"{name}.npy", array, allow_pickle=True)
    return folder


def texts(folder: Path) -> list[str | None]:
    return [u.text for u in load_numpy(folder)]


def test_features_and_splits(tmp_path: Path) -> None:
    save(
        tmp_path,
        train=clips(100, 250),
        train_transcripts=objects(list("AB"), list("C D")),
        dev=clips(50),
        dev_transcripts=objects(list("E")),
        test=clips(70),
    )
    corpus = open_corpus(tmp_path)
    assert [u.identifier for u in corpus] == [
        "train.npy[0]",
        "train.npy[1]",
        "dev.npy[0]",
        "test.npy[0]",
    ]
    assert [u.text for u in corpus] == ["AB", "C D", "E", None]
    assert [u.seconds for u in corpus] == [1.0, 2.5, 0.5, 0.7]
    assert [u.split for u in corpus] == ["train", "train", "dev", "test"]
    features = [f for _, f in iter_features(corpus, Frontend())]
    assert [f.shape for f in features] == [(100, 40), (250, 40), (50, 40), (70, 40)]
    assert {f.dtype for f in features} == {np.dtype(np.float32)}


def test_one_split_alone(tmp_path: Path) -> None:
    save(tmp_path, train=clips(10), dev=clips(20))
    assert [u.split for u in load_numpy(tmp_path, ["dev"])] == ["dev"]


@pytest.mark.parametrize(
    ("transcripts", "expected"),
    [
        (objects(np.array([b"A", b" ", b"B"]), np.array([b"C"])), ["A B", "C"]),
        (objects(np.array(["<sos>", "A", "B", "<eos>"]), np.array(["C"])), ["AB", "C"]),
        (objects(["[SOS]", "AH", "B", "[EOS]"], ["D"]), ["AH B", "D"]),
        (objects(np.array([b"I", b"AM"]), np.array([b"A"])), ["I AM", "A"]),
        (objects("HELLO YOU", "<sos>BYE<eos>"), ["HELLO YOU", "BYE"]),
        (objects(b"HELLO", "na\u00efve".encode()), ["HELLO", "na\u00efve"]),
        (np.array([b"HELLO", b"YOU"]), ["HELLO", "YOU"]),
        (objects(np.array([3, 17, 40]), np.array([5])), ["3 17 40", "5"]),
        (objects([1, 2], [3]), ["1 2", "3"]),
        (np.array([[1, 2], [3, 4]]), ["1 2", "3 4"]),
        (np.array([["a", "b"], ["c", "d"]], dtype=object), ["ab", "cd"]),
        (objects([], list("a")), ["", "a"]),
    ],
)
def test_letters_words_and_phonemes(
    tmp_path: Path, transcripts: np.ndarray, expected: list[str]
) -> None:
    assert texts(save(tmp_path, train=clips(10, 20), train_transcripts=transcripts)) == expected


def test_the_separator_is_one_for_the_whole_corpus(tmp_path: Path) -> None:
    save(
        tmp_path,
        train=clips(10),
        train_transcripts=objects(["AH", "B"]),
        dev=clips(10),
        dev_transcripts=objects(["B", "D"]),
    )
    assert texts(tmp_path) == ["AH B", "B D"]


@pytest.mark.parametrize("dtype", [np.float32, np.float64, object])
def test_clips_of_one_length_may_be_a_single_array(tmp_path: Path, dtype: Any) -> None:
    save(tmp_path, train=np.ones((3, 7, 40)).astype(dtype))
    corpus = load_numpy(tmp_path)
    assert [u.features.shape for u in corpus if u.features is not None] == [(7, 40)] * 3


def test_labels_is_another_name_for_transcripts(tmp_path: Path) -> None:
    assert texts(save(tmp_path, train=clips(5), train_labels=objects(list("ab")))) == ["ab"]


def test_unusable_clips_are_skipped_and_named_and_texts_stay_with_their_clips(
    tmp_path: Path,
) -> None:
    train = objects(
        np.zeros((0, 40)), np.ones(40), None, np.full((5, 40), np.nan), np.ones((5, 40)), "text"
    )
    save(tmp_path, train=train, train_transcripts=objects(*"abcdef"))
    corpus = load_numpy(tmp_path)
    assert [(u.identifier, u.text) for u in corpus] == [("train.npy[4]", "e")]
    assert len(corpus.skipped) == 5
    assert corpus.skipped[0] == f"{tmp_path / 'train.npy[0]'}: is empty: shape (0, 40)"
    assert "NaN" in corpus.skipped[3]


class TestRefused:
    def test_nothing_usable(self, tmp_path: Path) -> None:
        with pytest.raises(CorpusError, match="no usable clip, 1 skipped"):
            load_numpy(save(tmp_path, train=objects(np.zeros((0, 40)))))

    def test_counts_that_differ(self, tmp_path: Path) -> None:
        save(tmp_path, dev=clips(5, 6), dev_transcripts=objects(*"abc"))
        with pytest.raises(
            CorpusError, match=r"dev_transcripts\.npy has 3 transcripts for the 2 clips of dev"
        ):
            load_numpy(tmp_path)

    def test_bands_that_differ(self, tmp_path: Path) -> None:
        save(tmp_path, train=clips(5), dev=clips(5, bands=13))
        with pytest.raises(CorpusError, match=r"40 in train\.npy\[0\], 13 in dev\.npy\[0\]"):
            load_numpy(tmp_path)

    @pytest.mark.parametrize("entry", [3.5, 7, [1.5], [["a"]], None, b"\xff", np.zeros((2, 2))])
    def test_transcripts_that_are_none(self, tmp_path: Path, entry: Any) -> None:
        save(tmp_path, train=clips(5), train_transcripts=objects(entry))
        with pytest.raises(CorpusError, match=r"train_transcripts\.npy\[0\]"):
            load_numpy(tmp_path)

    def test_a_single_value(self, tmp_path: Path) -> None:
        with pytest.raises(CorpusError, match=r"train\.npy: an array with one entry per clip"):
            load_numpy(save(tmp_path, train=np.array(3.0)))

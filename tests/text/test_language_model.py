"""Beam search with n-gram models over labels and over words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantkit.errors import InputError
from quantkit.text.decoders import beam_decoder, decoder_named
from quantkit.text.labels import Labels

pytest.importorskip("flashlight.lib.text.decoder.kenlm", exc_type=ImportError)

ENGLISH = Labels.english()


def write_arpa(path: Path, unigrams: dict[str, float], bigrams: dict[str, float]) -> Path:
    """An ARPA file of base-10 log-probabilities; every back-off weight is -1."""
    one = {"<unk>": -5.0, "<s>": -99.0, "</s>": -1.0, **unigrams}
    lines = ["\\data\\", f"ngram 1={len(one)}", f"ngram 2={len(bigrams)}", "", "\\1-grams:"]
    lines += [f"{score}\t{entry}\t-1.0" for entry, score in one.items()]
    lines += ["", "\\2-grams:", *(f"{score}\t{pair}" for pair, score in bigrams.items())]
    path.write_text("\n".join([*lines, "", "\\end\\", ""]), encoding="utf-8")
    return path


def frames_of(*choices: dict[str, float]) -> np.ndarray:
    """One frame per argument; what it leaves of the probability goes to all labels evenly."""
    rows = np.zeros((len(choices), len(ENGLISH)), np.float32)
    for row, choice in zip(rows, choices, strict=True):
        row += (1.0 - sum(choice.values())) / len(ENGLISH)
        for token, probability in choice.items():
            row[ENGLISH.blank if token == "_" else ENGLISH.tokens.index(token)] += probability
    return np.log(rows)


#: Sounds like "see" or, a little more, "sea"; then a gap; then "it".
SEE_IT = frames_of(
    {"s": 0.98},
    {"e": 0.98},
    {"_": 0.98},
    {"a": 0.52, "e": 0.46},
    {" ": 0.98},
    {"i": 0.98},
    {"t": 0.98},
)


@pytest.fixture
def letters(tmp_path: Path) -> Path:
    unigrams = dict.fromkeys([*"abcdefghijklmnopqrstuvwxyz'", "|"], -1.4)
    return write_arpa(tmp_path / "letters.arpa", unigrams, {"e e": -0.1, "e |": -0.1})


@pytest.fixture
def words(tmp_path: Path) -> Path:
    unigrams = dict.fromkeys(["see", "sea", "it", "is"], -1.0)
    return write_arpa(tmp_path / "words.arpa", unigrams, {"see it": -0.01, "<s> see": -0.3})


def test_without_a_model_the_sound_decides() -> None:
    assert beam_decoder(ENGLISH)(SEE_IT) == "sea it"


@pytest.mark.parametrize("fixture", ["letters", "words"])
def test_the_model_tips_the_balance(fixture: str, request: pytest.FixtureRequest) -> None:
    path: Path = request.getfixturevalue(fixture)
    assert beam_decoder(ENGLISH, language_model=path)(SEE_IT) == "see it"
    assert beam_decoder(ENGLISH, language_model=path, lm_weight=0.0)(SEE_IT) == "sea it"


def test_only_words_of_the_model_are_written(words: Path) -> None:
    blurred = frames_of({"s": 0.9}, {"i": 0.9}, {"_": 0.9}, {"e": 0.5, "r": 0.45})
    assert beam_decoder(ENGLISH)(blurred) == "sie"
    text = beam_decoder(ENGLISH, language_model=words)(blurred)
    assert set(text.split()) <= {"see", "sea", "it", "is"}


def test_the_weight_is_on_natural_logarithms(tmp_path: Path) -> None:
    # "aa" costs ln 10 more than "ab"; the sound prefers "aa" by ln 20 or by ln 5.
    unigrams = {"a": -0.5, "b": -0.5}
    model = write_arpa(tmp_path / "ab.arpa", unigrams, {"a a": -1.1, "a b": -0.1})
    decode = beam_decoder(Labels(("_", "a", "b")), language_model=model)

    def second(preference: float) -> np.ndarray:
        rest = 1e-6
        b = (1.0 - rest) / (1.0 + preference)
        rows = [[rest, 1, rest], [1, rest, rest], [rest, b * preference, b]]
        return np.log(np.array(rows, np.float32))

    assert decode(second(20.0)) == "aa"
    assert decode(second(5.0)) == "ab"


def test_loading_is_silent(words: Path, capfd: pytest.CaptureFixture[str]) -> None:
    beam_decoder(ENGLISH, language_model=words)
    assert capfd.readouterr() == ("", "")


def test_no_frames(words: Path) -> None:
    assert beam_decoder(ENGLISH, language_model=words)(np.zeros((0, 29), np.float32)) == ""


def test_greedy_takes_no_model(words: Path) -> None:
    with pytest.raises(InputError, match="use the beam decoder"):
        decoder_named("greedy", ENGLISH, language_model=words)


@pytest.mark.parametrize("content", [b"", b"hello\n", b"\x00\xff\xfe", b"\\1-grams:\n-1\n"])
def test_what_is_no_arpa_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "lm.arpa"
    path.write_bytes(content)
    with pytest.raises(InputError, match=r"lm\.arpa is not an ARPA text file"):
        beam_decoder(ENGLISH, language_model=path)


def test_damaged_and_missing_files_are_named(words: Path, tmp_path: Path) -> None:
    words.write_text(words.read_text().partition("\\2-grams")[0])
    with pytest.raises(InputError, match=r"words\.arpa cannot be loaded: \w"):
        beam_decoder(ENGLISH, language_model=words)
    with pytest.raises(InputError, match="No such file"):
        beam_decoder(ENGLISH, language_model=tmp_path / "none.arpa")


def test_word_model_needs_a_space_label(words: Path) -> None:
    with pytest.raises(InputError, match="no space to separate words"):
        beam_decoder(Labels(("_", *"seait")), language_model=words)


def test_word_model_in_another_script(tmp_path: Path) -> None:
    path = write_arpa(tmp_path / "ru.arpa", {"да": -1.0, "нет": -1.0}, {"да нет": -0.5})
    with pytest.raises(InputError, match="none of its words can be spelt"):
        beam_decoder(ENGLISH, language_model=path)


@pytest.mark.parametrize("apostrophe", ["'", "’"])
def test_a_word_model_in_another_case_is_read_in_that_of_the_labels(
    tmp_path: Path, apostrophe: str, caplog: pytest.LogCaptureFixture
) -> None:
    unigrams = dict.fromkeys(["SEE", "SEA", "It", "IT", "IS", f"IT{apostrophe}S"], -1.0)
    path = write_arpa(tmp_path / "upper.arpa", unigrams, {"SEE IT": -0.01, "<s> SEE": -0.3})
    assert beam_decoder(ENGLISH, language_model=path)(SEE_IT) == "see it"
    assert not caplog.records


def test_a_letter_model_in_another_case_is_read_in_that_of_the_labels(tmp_path: Path) -> None:
    unigrams = dict.fromkeys([*"ABCDEFGHIJKLMNOPQRSTUVWXYZ'", "|"], -1.4)
    path = write_arpa(tmp_path / "upper.arpa", unigrams, {"E E": -0.1, "E |": -0.1})
    assert beam_decoder(ENGLISH, language_model=path)(SEE_IT) == "see it"


def test_a_model_of_mostly_other_letters_is_refused(tmp_path: Path) -> None:
    unigrams = dict.fromkeys(["да", "нет", "ok"], -1.0)
    path = write_arpa(tmp_path / "ru.arpa", unigrams, {"да нет": -0.5})
    with pytest.raises(InputError, match="only 1 of its 3 words can be spelt with the labels"):
        beam_decoder(ENGLISH, language_model=path)


def test_words_that_cannot_be_written_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    unigrams = dict.fromkeys(["see", "sea", "it", "café"], -1.0)
    path = write_arpa(tmp_path / "words.arpa", unigrams, {"see it": -0.01})
    beam_decoder(ENGLISH, language_model=path)
    assert "1 of the 4 words" in caplog.text
    assert "'café'" in caplog.text


def test_labels_that_a_letter_model_lacks_are_told(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    path = write_arpa(tmp_path / "ab.arpa", {"a": -0.5, "b": -0.5}, {"a b": -0.1})
    beam_decoder(Labels(("_", "a", "b", "c")), language_model=path)
    assert "does not know 1 of the labels, such as 'c'" in caplog.text


PIECES = Labels(("_", " see", " sea", " it", "s"))


def test_pieces_take_a_model_over_pieces_only(tmp_path: Path, words: Path) -> None:
    with pytest.raises(InputError, match="the labels are pieces of words; use a model over these"):
        beam_decoder(PIECES, language_model=words)
    unigrams = dict.fromkeys(["▁see", "▁sea", "▁it", "s"], -1.0)
    path = write_arpa(tmp_path / "pieces.arpa", unigrams, {"▁see ▁it": -0.01, "<s> ▁see": -0.3})
    heard = np.log(np.array([[0.02, 0.46, 0.48, 0.02, 0.02], [0.9, *[0.025] * 4], [0.02] * 5]))
    heard[2, 3] = np.log(0.92)
    heard = heard.astype(np.float32)
    assert beam_decoder(PIECES)(heard) == "sea it"
    assert beam_decoder(PIECES, language_model=path)(heard) == "see it"

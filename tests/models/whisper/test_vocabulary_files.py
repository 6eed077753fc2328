"""The tokens of a Whisper are found by their names, whatever the number of its outputs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("transformers")

from quantkit.errors import CheckpointError, InputError
from quantkit.models.whisper.generation import read_generation
from quantkit.models.whisper.layouts import LAYOUTS, Layout
from quantkit.models.whisper.vocabulary_files import read_vocabulary
from quantkit.text.whisper_vocabulary import WhisperVocabulary

ENGLISH, MULTILINGUAL, LARGE_V3 = LAYOUTS
Added = list[tuple[int, str]]


def times(layout: Layout) -> Added:
    return [(layout.named + i, f"<|{i / 50:.2f}|>") for i in range(1_501)]


def steering(layout: Layout) -> Added:
    return list(layout.names.items())


def written(folder: Path, added: Added, **files: Any) -> Path:
    """A folder with a ``tokenizer.json`` of a few text tokens."""
    content = {
        "model": {"vocab": {"a": 0, "Ġb": 1, "Ã": 2, "¼": 3, "Ġ": 220}},
        "added_tokens": [
            {"id": index, "content": name, "special": name.startswith("<|")}
            for index, name in added
        ],
    }
    for name, each in {"tokenizer": content, **files}.items():
        (folder / f"{name}.json").write_text(json.dumps(each), encoding="utf-8")
    return folder


def read(
    folder: Path, outputs: int, bands: int = 80, config: dict[str, Any] | None = None
) -> WhisperVocabulary:
    return read_vocabulary(folder, outputs, bands, read_generation(folder, config or {}))


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("timed", [False, True])
def test_published_vocabularies(tmp_path: Path, layout: Layout, timed: bool) -> None:
    added = steering(layout) + (times(layout) if timed else [])
    found = read(written(tmp_path, added), layout.size, layout.mel_bands)
    assert (found.size, found.outputs, found.added) == (layout.size, 0, {})
    assert found.times == range(layout.named, layout.size)
    assert found.is_multilingual == (layout is not ENGLISH)
    assert ("yue" in (found.languages or {})) == (layout is LARGE_V3)


@pytest.mark.parametrize("outputs", [51_872, 51_904, 51_968, 52_000, 51_866])
def test_outputs_that_pad_a_vocabulary_are_no_tokens(tmp_path: Path, outputs: int) -> None:
    """Training pads matrices to a multiple of 64, or of what its hardware likes."""
    settings = {"no_timestamps_token_id": MULTILINGUAL.named - 1}
    folder = written(tmp_path, steering(MULTILINGUAL), generation_config=settings)
    found = read(folder, outputs)
    assert (found.size, found.timestamps) == (outputs, MULTILINGUAL.named)
    assert found.times.stop == MULTILINGUAL.size
    assert WhisperVocabulary.from_json(found.to_json()) == found


def test_added_words_are_text(tmp_path: Path) -> None:
    words: Added = [(51_865, "Müsli"), (51_866, "<|speaker|>"), (51_867, "日本")]
    added = [*steering(MULTILINGUAL), *times(MULTILINGUAL), *words]
    found = read(written(tmp_path, added), 51_904)
    assert found.added == {51_865: "Müsli".encode(), 51_866: b"", 51_867: "日本".encode()}
    assert found.decode([0, 1, 51_866, 51_865, 51_900, 50_400, 51_867]) == "a bMüsli日本"
    assert found.times == range(50_364, 51_865)
    assert WhisperVocabulary.from_json(found.to_json()) == found


def test_an_added_language_is_a_language(tmp_path: Path) -> None:
    added = [*steering(MULTILINGUAL), *times(MULTILINGUAL), (51_865, "<|gsw|>")]
    found = read(written(tmp_path, added), 51_866)
    assert (found.languages or {})["gsw"] == 51_865
    assert found.added == {}


def test_a_model_without_the_times_has_none(tmp_path: Path) -> None:
    """Resized to the length of a tokenizer that does not count them, and padded: 50,368."""
    found = read(written(tmp_path, steering(MULTILINGUAL)), 50_368)
    assert (found.times, found.size) == (range(0), 50_368)
    assert found.prompt("de")[-1] == found.no_timestamps == 50_363
    with pytest.raises(InputError, match="no tokens for times"):
        found.prompt("de", timestamps=True)


def test_a_tokenizer_may_have_more_than_a_model_that_was_cut(tmp_path: Path) -> None:
    found = read(written(tmp_path, steering(MULTILINGUAL) + times(MULTILINGUAL)), 51_000)
    assert (found.times, found.size, found.added) == (range(0), 51_000, {})


def test_a_word_in_the_place_of_a_time_leaves_no_times(tmp_path: Path) -> None:
    """Older tokenizers gave the first added word the number of the first time."""
    folder = written(tmp_path, [*steering(MULTILINGUAL), (50_364, "Müsli")])
    found = read(folder, 51_865)
    assert (found.times, found.added) == (range(0), {50_364: "Müsli".encode()})


def test_the_other_form_of_a_tokenizer(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        [],
        vocab={"a": 0, "Ġb": 1, "<|endoftext|>": 50_257},
        added_tokens={name: index for index, name in steering(MULTILINGUAL)[1:]},
        tokenizer_config={"added_tokens_decoder": {"51865": {"content": "Müsli"}}},
    )
    (folder / "tokenizer.json").unlink()
    found = read(folder, 51_904)
    assert found.decode([0, 1, 51_865]) == "a bMüsli"


@pytest.mark.parametrize("end", ["", "\n", "\r\n"])
def test_a_list_of_tokens_may_end_as_lines_do(tmp_path: Path, end: str) -> None:
    names = {index: f"t{index}" for index in range(ENGLISH.size)}
    names.update([*steering(ENGLISH), *times(ENGLISH)])
    # As the published tiny.en has them.
    names = {
        i: {"<|he|>": "<|iw|>", "<|nospeech|>": "<|nocaptions|>"}.get(n, n)
        for i, n in names.items()
    }
    lines = "\n".join(names.values())
    (tmp_path / "vocabulary.txt").write_bytes(f"{lines}{end}".encode())
    found = read(tmp_path, ENGLISH.size)
    assert (found.size, found.times) == (ENGLISH.size, range(ENGLISH.named, ENGLISH.size))
    assert found.suppressed == ENGLISH.non_speech


@pytest.mark.slow
@pytest.mark.parametrize("layout", LAYOUTS)
def test_what_no_file_names_stands_in_the_known_layout(tmp_path: Path, layout: Layout) -> None:
    text = {f"Ġ{i}": i for i in range(layout.end)}
    folder = written(tmp_path, [], vocab=text)
    (folder / "tokenizer.json").unlink()
    found = read(folder, -(-layout.size // 64) * 64, layout.mel_bands)
    assert (found.end, found.no_timestamps) == (layout.end, layout.named - 1)
    assert len(found.languages or {}) == (0 if layout is ENGLISH else layout.languages)


def test_settings_name_tokens_too(tmp_path: Path) -> None:
    """Which of two layouts it is that 51,904 outputs pad, 80 bands alone would not say."""
    settings = {
        "no_timestamps_token_id": 50_364,
        "lang_to_id": {"<|en|>": 50_259, "<|yue|>": 50_358},
        "task_to_id": {"transcribe": 50_360, "translate": 50_359},
    }
    text = {f"Ġ{i}": i for i in range(LARGE_V3.end)}
    folder = written(tmp_path, [], vocab=text, generation_config=settings)
    (folder / "tokenizer.json").unlink()
    found = read(folder, 51_904)
    assert (found.translate, found.timestamps) == (50_359, 50_365)


def test_settings_of_another_model_are_refused(tmp_path: Path) -> None:
    folder = written(
        tmp_path, steering(MULTILINGUAL), generation_config={"no_timestamps_token_id": 50_364}
    )
    with pytest.raises(CheckpointError, match=r"50363 of the tokenizer, but 50364 in generation"):
        read(folder, 51_866)


@pytest.mark.parametrize(
    ("layout", "outputs", "bands"),
    [
        (MULTILINGUAL, 51_866, 128),
        (MULTILINGUAL, 51_904, 128),
        (LARGE_V3, 51_865, 80),
        (ENGLISH, 51_865, 80),
    ],
)
def test_the_tokenizer_of_another_whisper_is_refused(
    tmp_path: Path, layout: Layout, outputs: int, bands: int
) -> None:
    with pytest.raises(CheckpointError, match="it is another model's"):
        read(written(tmp_path, steering(layout)), outputs, bands)


@pytest.mark.parametrize("outputs", [0, -1, True, 1.5, "a", None, 1 << 40])
def test_outputs_that_no_model_has_are_refused(tmp_path: Path, outputs: Any) -> None:
    with pytest.raises(CheckpointError, match="invalid number of tokens"):
        read(written(tmp_path, steering(ENGLISH)), outputs)


def test_without_a_vocabulary_the_way_to_one_is_said(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no vocabulary.*copy it from the model"):
        read(tmp_path, 51_865)


def test_without_settings_the_published_ones_hold(tmp_path: Path) -> None:
    found = read(
        written(tmp_path, steering(MULTILINGUAL)), 51_865, config={"suppress_tokens": None}
    )
    assert set(found.suppressed) == set(MULTILINGUAL.non_speech)
    assert found.suppressed_first == (220, 50_257)
    assert found.language == ""


def test_older_settings_stand_in_the_configuration(tmp_path: Path) -> None:
    """The published checkpoints force English there, and hear any language all the same."""
    folder = written(tmp_path, steering(MULTILINGUAL))
    german = {"forced_decoder_ids": [[1, 50_261], [2, 50_359], [3, 50_363]], "suppress_tokens": [7]}
    found = read(folder, 51_865, config=german)
    assert (found.language, found.suppressed) == ("de", (7,))
    assert WhisperVocabulary.from_json(found.to_json()).language == "de"
    english = {"forced_decoder_ids": [[1, 50_259], [2, 50_359]]}
    assert read(folder, 51_865, config=english).language == ""


@pytest.mark.parametrize(
    ("settings", "language"),
    [
        ({"language": "german"}, "de"),
        ({"language": "<|de|>"}, "de"),
        ({"language": "de", "forced_decoder_ids": [[1, 50_259]]}, "de"),
        ({"forced_decoder_ids": [[1, 50_259], [2, 50_359]]}, "en"),
        ({"forced_decoder_ids": [[1, None], [2, 50_359]]}, ""),
        ({"forced_decoder_ids": "all"}, ""),
        ({"language": "klingon"}, ""),
    ],
)
def test_the_language_that_the_settings_force(
    tmp_path: Path, settings: dict[str, Any], language: str
) -> None:
    folder = written(tmp_path, steering(MULTILINGUAL), generation_config=settings)
    assert read(folder, 51_865).language == language


def test_settings_may_suppress_nothing(tmp_path: Path) -> None:
    settings: dict[str, Any] = {"suppress_tokens": [], "begin_suppress_tokens": None}
    folder = written(tmp_path, steering(MULTILINGUAL), generation_config=settings)
    found = read(folder, 51_865, config={"suppress_tokens": [1]})
    assert (found.suppressed, found.suppressed_first) == ((), ())
    (folder / "generation_config.json").write_text('{"suppress_tokens": ["a"]}')
    with pytest.raises(CheckpointError, match="are not a list of numbers"):
        read(folder, 51_865)


@pytest.mark.parametrize(
    ("settings", "told"),
    [
        ({"task": "translate"}, True),
        ({"forced_decoder_ids": [[1, 50_261], [2, 50_358]]}, True),
        ({"task": "transcribe"}, False),
        ({"forced_decoder_ids": [[1, 50_261], [2, 50_359]]}, False),
        ({}, False),
    ],
)
def test_a_folder_that_is_set_to_translate_is_told(
    tmp_path: Path, settings: dict[str, Any], told: bool, caplog: pytest.LogCaptureFixture
) -> None:
    folder = written(tmp_path, steering(MULTILINGUAL), generation_config=settings)
    read(folder, MULTILINGUAL.size)
    said = [record.getMessage() for record in caplog.records]
    assert any("set to translate into English" in line for line in said) == told
    assert not told or "transcribe --translate" in said[-1]

"""What a model's outputs stand for, and vocabularies that are another model's."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from quantkit.errors import CheckpointError
from quantkit.models.vocabulary import class_names, ctc_labels
from quantkit.text.labels import Labels
from quantkit.text.normalize import normalized

VOCABULARY = {"<pad>": 0, "<s>": 1, "</s>": 2, "<unk>": 3, "|": 4, "A": 5, "B": 6}


def written(folder: Path, **files: Any) -> Path:
    for name, content in files.items():
        (folder / f"{name}.json").write_text(json.dumps(content))
    return folder


def test_padding_is_the_blank_and_the_delimiter_a_space(tmp_path: Path) -> None:
    labels = ctc_labels(written(tmp_path, vocab=VOCABULARY), 7)
    assert labels == Labels(
        ("<pad>", "<s>", "</s>", "<unk>", " ", "A", "B"), blank=0, silent=(1, 2, 3)
    )
    assert labels.decode([5, 3, 4, 6]) == "A B"
    assert normalized("a b", labels) == "A B"


def test_the_tokenizer_may_call_its_tokens_otherwise(tmp_path: Path) -> None:
    folder = written(
        tmp_path,
        vocab={"a": 0, "[UNK]": 1, "*": 2, "[PAD]": 3},
        tokenizer_config={"pad_token": "[PAD]", "word_delimiter_token": "*"},
        special_tokens_map={"unk_token": {"content": "[UNK]"}, "bos_token": None},
    )
    labels = ctc_labels(folder, 4)
    assert (labels.tokens, labels.blank, labels.silent) == (("a", "[UNK]", " ", "[PAD]"), 3, (1,))


def test_tokens_that_were_added_later_have_no_output(tmp_path: Path) -> None:
    folder = written(tmp_path, vocab=VOCABULARY, added_tokens={"<en>": 7, "<de>": 8})
    assert len(ctc_labels(folder, 7)) == 7
    assert len(ctc_labels(folder, 9)) == 9


@pytest.mark.parametrize(
    ("vocabulary", "outputs", "message"),
    [
        (VOCABULARY, 9, "name 7 outputs, but the model has 9"),
        (VOCABULARY, 5, "name 7 outputs, but the model has 5"),
        ({**VOCABULARY, "B": 5}, 7, "gives the number 5 to 'A' and to 'B'"),
        ({"A": 0, "B": 1}, 2, "lacks the padding token '<pad>'"),
        ({"eng": VOCABULARY, "fra": VOCABULARY}, 7, "of several languages"),
        ([1, 2], 2, "not a JSON object"),
    ],
)
def test_another_vocabulary_is_refused(
    tmp_path: Path, vocabulary: Any, outputs: int, message: str
) -> None:
    with pytest.raises(CheckpointError, match=message):
        ctc_labels(written(tmp_path, vocab=vocabulary), outputs)


def test_a_model_without_a_vocabulary_is_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no vocab\.json"):
        ctc_labels(tmp_path, 7)


def test_classes_are_named_in_output_order(tmp_path: Path) -> None:
    assert class_names({"id2label": {"1": "no", "0": "yes"}}, 2, tmp_path) == ("yes", "no")
    assert class_names({}, 2, tmp_path) == ("LABEL_0", "LABEL_1")
    with pytest.raises(CheckpointError, match="names 1 classes, but the model has 2"):
        class_names({"id2label": {"0": "yes"}}, 2, tmp_path)
    with pytest.raises(CheckpointError, match="two classes the same name"):
        class_names({"id2label": {"0": "yes", "1": "yes"}}, 2, tmp_path)

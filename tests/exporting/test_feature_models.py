"""W2v-BERT and LASR from transformers: artifacts that say what transformers says."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Any, NamedTuple

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from tokenizers import Tokenizer, models  # noqa: E402
from transformers import (  # noqa: E402
    LasrFeatureExtractor,
    PreTrainedTokenizerFast,
    SeamlessM4TFeatureExtractor,
)

import quantkit  # noqa: E402
from quantkit.audio.lasr_frontend import LasrFrontend  # noqa: E402
from quantkit.audio.seamless_frontend import SeamlessFrontend  # noqa: E402
from quantkit.errors import CheckpointError, InputError  # noqa: E402
from quantkit.exporting.pretrained import export_pretrained  # noqa: E402
from quantkit.graph.artifact import read_info, total_size  # noqa: E402
from quantkit.models.adapters import ARCHITECTURES  # noqa: E402
from quantkit.quantization.choices.presets import PRESETS  # noqa: E402
from quantkit.tasks.open import open_speech_model  # noqa: E402
from tests.models.adapters.test_feature_families import BERT, LASR  # noqa: E402
from tests.parakeet import noise, randomised  # noqa: E402

pytestmark = pytest.mark.slow

LETTERS = ("<pad>", "<s>", "</s>", "<unk>", "|", "E", "T", "A", "O", "N", "I", "H")
PIECES = ("<pad>", "</s>", "<unk>", "▁the", "▁a", "t", "e", "s", "▁go", "n", "o", "▁")
CLIPS = noise(0.9, 2.3, 1.6)


class Exported(NamedTuple):
    model: Any
    folder: Path
    path: Path
    parity: Any


def _bert(folder: Path, **settings: Any) -> Any:
    sizes = {**BERT, "feature_projection_input_dim": 32, "pad_token_id": 0, **settings}
    model = _made("Wav2Vec2BertForCTC", sizes)
    model.save_pretrained(folder)
    extractor: Any = SeamlessM4TFeatureExtractor(feature_size=16, num_mel_bins=16)
    extractor.save_pretrained(folder)
    numbers = {token: number for number, token in enumerate(LETTERS)}
    (folder / "vocab.json").write_text(json.dumps(numbers))
    return model


def _lasr(folder: Path, **settings: Any) -> Any:
    sizes = {"encoder_config": LASR, "vocab_size": len(PIECES), "pad_token_id": 0, **settings}
    model = randomised(_made("LasrForCTC", sizes), seed=3)
    with torch.no_grad():
        # So that texts follow from what is heard.
        model.ctc_head.weight *= 2.0
        model.ctc_head.bias.zero_()
    model.save_pretrained(folder)
    extractor: Any = LasrFeatureExtractor(feature_size=16)
    extractor.save_pretrained(folder)
    scores = [(piece, -float(number)) for number, piece in enumerate(PIECES)]
    tokenizer: Any = PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer(models.Unigram(scores, unk_id=2)),
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
    )
    tokenizer.save_pretrained(folder)
    return model


def _made(architecture: str, settings: dict[str, Any]) -> Any:
    kind: Any = ARCHITECTURES[architecture].model
    return randomised(kind(kind.config_class(**settings)))


MAKERS = {"Wav2Vec2BertForCTC": _bert, "LasrForCTC": _lasr}


@pytest.fixture(scope="module", params=MAKERS)
def exported(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Exported:
    place = tmp_path_factory.mktemp("features")
    folder, path = place / "theirs", place / "ours.onnx"
    model = MAKERS[request.param](folder)
    return Exported(model, folder, path, export_pretrained(folder, path))


def said_by_transformers(model: Any, clip: Any) -> str:
    """The greedy text, from the model's own feature extractor."""
    is_bert = "Bert" in type(model).__name__
    extractor: Any = (
        SeamlessM4TFeatureExtractor(feature_size=16, num_mel_bins=16)
        if is_bert
        else LasrFeatureExtractor(feature_size=16)
    )
    inputs = extractor(clip, sampling_rate=16_000, return_tensors="pt", return_attention_mask=True)
    with torch.no_grad():
        logits = model(**inputs).logits[0]
    steps = int(inputs["attention_mask"].sum()) if is_bert else len(logits)
    best = [label for label, _ in groupby(logits[:steps].argmax(-1).tolist())]
    if is_bert:
        silent, names, space = LETTERS[:4], LETTERS, "|"
    else:
        silent, names, space = PIECES[:3], PIECES, "▁"
    text = "".join(names[label] for label in best if names[label] not in silent)
    return " ".join(text.replace(space, " ").split())


def written(path: Path, clips: list[Any] = CLIPS) -> list[str]:
    model = open_speech_model(path)
    frontend = model.info.frontend
    assert frontend is not None
    outputs = model.outputs([frontend(clip) for clip in clips])
    return [" ".join(model.text_of(output).split()) for output in outputs]


def test_every_batch_gives_what_transformers_gives_for_each_clip_alone(exported: Exported) -> None:
    assert exported.parity.worst.difference < 1e-4
    assert {case.batch_size for case in exported.parity.cases} == {1, 2, 5}


def test_greedy_texts_are_those_of_transformers(exported: Exported) -> None:
    expected = [said_by_transformers(exported.model, clip) for clip in CLIPS]
    assert len({*expected}) == len(CLIPS)
    assert written(exported.path) == expected
    assert [written(exported.path, [clip])[0] for clip in CLIPS] == expected


def test_the_front_end_is_that_of_the_feature_extractor(exported: Exported) -> None:
    frontend = read_info(exported.path).frontend
    assert frontend in (SeamlessFrontend(bands=16), LasrFrontend(mel_bands=16, fewest=13))


@pytest.mark.parametrize("preset", [name for name in PRESETS if name != "float32"])
def test_every_preset_makes_a_smaller_file_that_writes(
    exported: Exported, preset: str, tmp_path: Path
) -> None:
    small = tmp_path / "small.onnx"
    quantkit.quantize(exported.path, small, preset, CLIPS, sample_rate=16_000)
    assert total_size(small) < total_size(exported.path)
    assert any(written(small))


def test_it_is_personalised_to_a_budget(exported: Exported, tmp_path: Path) -> None:
    budget = round(0.7 * total_size(exported.path))
    made = quantkit.personalize(
        exported.path, tmp_path / "user.onnx", CLIPS, f"{budget}B", sample_rate=16_000
    )
    assert made.summary.size_bytes <= budget
    assert any(written(tmp_path / "user.onnx"))


def test_layers_behind_the_encoder_are_refused(tmp_path: Path) -> None:
    _bert(tmp_path / "theirs", add_adapter=True)
    with pytest.raises(CheckpointError, match=r"layers after the encoder \(config.add_adapter"):
        export_pretrained(tmp_path / "theirs", tmp_path / "x.onnx")


def test_a_front_end_without_nodes_stays_apart(exported: Exported, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="cannot be made of nodes"):
        export_pretrained(exported.folder, tmp_path / "x.onnx", with_frontend=True)

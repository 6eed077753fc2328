"""Canary from transformers: an artifact that writes what transformers writes, as it is asked."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

pytest.importorskip("torch")
pytest.importorskip("transformers")

import quantkit
from quantkit.audio.nemo_frontend import NemoFrontend
from quantkit.errors import InputError
from quantkit.exporting.sources import ExportOptions, export_source
from quantkit.graph.artifact import graph_roles, load_model, read_info, total_size
from quantkit.graph.layers import find_layers
from quantkit.tasks.open import open_speech_model, require_followed
from quantkit.text.decoding import Decoding
from tests.canary import said_by_transformers, save, tiny
from tests.parakeet import noise

pytestmark = pytest.mark.slow

CLIPS = noise(0.9, 2.3, 1.6)


class Exported(NamedTuple):
    model: Any
    folder: Path
    path: Path
    parity: Any


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    place, model = tmp_path_factory.mktemp("canary"), tiny()
    folder, path = save(place / "theirs", model), place / "ours.onnx"
    return Exported(model, folder, path, export_source(str(folder), path, ExportOptions()))


def written(path: Path, decoding: Decoding | None = None) -> list[str]:
    model = open_speech_model(path, decoding=decoding)
    return [model.text_of(o) for o in model.outputs([model.features(clip) for clip in CLIPS])]


def test_texts_get_what_transformers_gives_them(exported: Exported) -> None:
    assert exported.parity.worst.difference < 1e-4
    assert {case.length for case in exported.parity.cases} == {2, 9, 96, 301}
    assert {case.batch_size for case in exported.parity.cases} == {1, 3}


@pytest.mark.parametrize(
    ("decoding", "asked"),
    [
        (None, ("<|en|>", "<|en|>", "<|pnc|>")),
        (Decoding(language="de", translate=True), ("<|de|>", "<|en|>", "<|pnc|>")),
        (
            Decoding(target_language="fr", punctuation=False),
            ("<|en|>", "<|fr|>", "<|nopnc|>"),
        ),
    ],
)
def test_greedy_texts_are_those_of_transformers(
    exported: Exported, decoding: Decoding | None, asked: tuple[str, ...]
) -> None:
    expected = [
        said_by_transformers(exported.model, exported.folder, clip, *asked) for clip in CLIPS
    ]
    assert len({*expected}) > 1
    assert written(exported.path, decoding) == expected


def test_what_is_asked_changes_the_text(exported: Exported) -> None:
    assert written(exported.path) != written(exported.path, Decoding(language="de"))


def test_metadata_describe_the_model(exported: Exported) -> None:
    info = read_info(exported.path)
    assert (info.task, info.licence, info.fused) == ("canary", "cc-by-4.0", False)
    assert info.frontend == NemoFrontend(mel_bands=16)
    assert [role.role for role in graph_roles(exported.path)] == ["encoder", "decoder"]
    assert json.loads(info.extra["canary"])["languages"] == {"de": 15, "en": 16, "fr": 17}


def test_the_embedding_is_stored_once(exported: Exported) -> None:
    layers = {layer.name: layer for layer in find_layers(load_model(exported.path))}
    assert layers["decoder.projection"].weight == layers["decoder.embed_tokens"].weight


def test_it_is_personalised_to_a_budget(exported: Exported, tmp_path: Path) -> None:
    budget = round(0.75 * total_size(exported.path))
    made = quantkit.personalize(
        exported.path, tmp_path / "user.onnx", CLIPS, f"{budget}B", sample_rate=16_000
    )
    assert made.summary.size_bytes <= budget
    assert any(written(tmp_path / "user.onnx"))


class TestRefusals:
    @pytest.mark.parametrize(
        ("decoding", "reason"),
        [
            (Decoding(language="xx"), "the model knows no language 'xx'; it knows de, en, fr"),
            (Decoding("beam"), "a Canary is decoded greedily, not by 'beam'"),
            (
                Decoding(translate=True, target_language="fr"),
                "--translate is into English, and --target-language names 'fr'",
            ),
        ],
    )
    def test_what_it_cannot_write(
        self, exported: Exported, decoding: Decoding, reason: str
    ) -> None:
        with pytest.raises(InputError, match=reason):
            open_speech_model(exported.path, decoding=decoding)

    def test_settings_of_others(self, exported: Exported) -> None:
        with pytest.raises(InputError, match=r"no use for times \(timestamps\)"):
            require_followed(exported.path, Decoding(timestamps=True))

    def test_another_prompt(self, exported: Exported, tmp_path: Path) -> None:
        folder = Path(shutil.copytree(exported.folder, tmp_path / "theirs"))
        config = folder / "config.json"
        changed = {**json.loads(config.read_text()), "decoder_start_token_id": 4}
        config.write_text(json.dumps(changed))
        with pytest.raises(InputError, match="begins texts with token 4"):
            export_source(str(folder), tmp_path / "x.onnx", ExportOptions())

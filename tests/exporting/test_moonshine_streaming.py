"""Moonshine's second generation from transformers: an artifact that writes what transformers
writes.
"""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any, NamedTuple

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

import quantkit  # noqa: E402
from quantkit.audio.waveform_frontend import WaveformFrontend  # noqa: E402
from quantkit.errors import InputError  # noqa: E402
from quantkit.exporting.sources import ExportOptions, export_source  # noqa: E402
from quantkit.graph.artifact import read_info, total_size  # noqa: E402
from quantkit.models.layers.windowed_attention import Blocks, attend  # noqa: E402
from quantkit.tasks.open import open_speech_model  # noqa: E402
from tests.moonshine_pretrained import save  # noqa: E402
from tests.moonshine_streaming import said_by_transformers, tiny  # noqa: E402
from tests.parakeet import noise  # noqa: E402

pytestmark = pytest.mark.slow

#: The second ends within a frame.
CLIPS = [noise(0.9)[0], noise(2.3)[0][:-27], noise(1.6)[0]]


class Exported(NamedTuple):
    model: Any
    folder: Path
    path: Path
    parity: Any


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Exported:
    place, model = tmp_path_factory.mktemp("moonshine-streaming"), tiny()
    folder, path = save(place / "theirs", model), place / "ours.onnx"
    return Exported(model, folder, path, export_source(str(folder), path, ExportOptions()))


def written(path: Path) -> list[str]:
    model = open_speech_model(path)
    return [model.text_of(output) for output in model.outputs(CLIPS)]


@pytest.mark.parametrize("sight", [(4, 2), (3, 0), (0, 3)])
@pytest.mark.parametrize("steps", [1, 4, 5, 23])
def test_attention_in_blocks_is_that_of_a_mask(sight: tuple[int, int], steps: int) -> None:
    generator = torch.Generator().manual_seed(0)
    query, key, value = torch.randn(3, 2, 3, steps, 8, generator=generator)
    ahead = torch.arange(steps)[None, :] - torch.arange(steps)[:, None]
    seen = (ahead >= -sight[0]) & (ahead <= sight[1])
    scores = (query @ key.transpose(2, 3)).masked_fill(~seen, -torch.inf)
    found = attend(query, key, value, Blocks.of(steps, sight))
    torch.testing.assert_close(found, scores.softmax(-1) @ value)


def test_texts_get_what_transformers_gives_them(exported: Exported) -> None:
    assert exported.parity.worst.difference < 1e-4
    assert {case.length % 80 for case in exported.parity.cases} > {0}


def test_greedy_texts_are_those_of_transformers(exported: Exported) -> None:
    expected = [said_by_transformers(exported.model, clip) for clip in CLIPS]
    assert len({*expected}) == len(CLIPS)
    assert written(exported.path) == expected


def test_it_is_a_moonshine_with_other_shortest_clips(exported: Exported) -> None:
    info = read_info(exported.path)
    assert (info.task, info.fused) == ("moonshine", True)
    assert info.frontend == WaveformFrontend(16_000, 80)


def test_it_is_personalised_to_a_budget(exported: Exported, tmp_path: Path) -> None:
    budget = round(0.75 * total_size(exported.path))
    made = quantkit.personalize(
        exported.path, tmp_path / "user.onnx", CLIPS, f"{budget}B", sample_rate=16_000
    )
    assert made.summary.size_bytes <= budget
    assert any(written(tmp_path / "user.onnx"))


class TestRefusals:
    @pytest.fixture
    def folder(self, exported: Exported, tmp_path: Path) -> Path:
        return Path(shutil.copytree(exported.folder, tmp_path / "theirs"))

    def refused(self, folder: Path, **changes: object) -> str:
        config = folder / "config.json"
        config.write_text(json.dumps({**json.loads(config.read_text()), **changes}))
        with pytest.raises(InputError) as caught:
            export_source(str(folder), folder.with_name("x.onnx"), ExportOptions())
        assert not folder.with_name("x.onnx").exists()
        return str(caught.value)

    def test_keys_of_the_encoder_with_fewer_heads(self, folder: Path) -> None:
        part = json.loads((folder / "config.json").read_text())["encoder_config"]
        found = self.refused(folder, encoder_config={**part, "num_key_value_heads": 2})
        assert "num_key_value_heads is 2" in found

    def test_frames_of_another_rate(self, folder: Path) -> None:
        part = json.loads((folder / "config.json").read_text())["encoder_config"]
        found = self.refused(
            folder, encoder_config={**part, "sample_rate": 8_000, "frame_ms": 10.0}
        )
        assert "hears 8000 Hz, and the feature extractor gives 16000" in found

"""Whispers as people train them write, token by token, what transformers writes."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from quantkit.audio.utterance import Utterance  # noqa: E402
from quantkit.exporting.sources import ExportOptions, export_source  # noqa: E402
from quantkit.models.whisper.layouts import LAYOUTS, Layout  # noqa: E402
from quantkit.runtime.whisper.model import WhisperModel  # noqa: E402
from quantkit.text.decoding import Decoding  # noqa: E402
from tests.whisper import tiny_whisper  # noqa: E402

pytestmark = pytest.mark.slow

ENGLISH, MULTILINGUAL, LARGE_V3 = LAYOUTS
SECONDS = (1, 7)
WORD = "Müsli"
#: As turbo and distil-large-v3 are: 128 bands, fewer layers in the decoder. With a word of its own
#: behind the times, padded to a multiple of 64, in bfloat16, in several files, without settings.
TURBO = (LARGE_V3, 51_904, {"num_mel_bins": 128, "encoder_layers": 3, "decoder_layers": 1})
#: An English-only one without the times, padded.
UNTIMED = (ENGLISH, 50_368, {"decoder_layers": 1})


def written(folder: Path, layout: Layout, outputs: int, settings: dict[str, Any]) -> Path:
    model = tiny_whisper(vocab_size=outputs, **settings)
    if layout is LARGE_V3:
        model = model.to(torch.bfloat16)
    model.save_pretrained(folder, max_shard_size="1MB")
    (folder / "generation_config.json").unlink()
    text = {f"Ġ{i}": i for i in range(layout.end)}
    added = dict(layout.names)
    if layout is LARGE_V3:
        added[layout.size] = WORD
    rows = [{"id": i, "content": name, "special": name != WORD} for i, name in added.items()]
    content = {"model": {"vocab": text}, "added_tokens": rows}
    (folder / "tokenizer.json").write_text(json.dumps(content), encoding="utf-8")
    return folder


def written_by_transformers(
    folder: Path, features: np.ndarray, prompt: list[int], allowed: set[int], count: int
) -> list[int]:
    from transformers import WhisperForConditionalGeneration

    model = WhisperForConditionalGeneration.from_pretrained(folder, dtype=torch.float32).eval()
    barred = torch.ones(model.config.vocab_size, dtype=torch.bool)
    barred[sorted(allowed)] = False
    tokens = list(prompt)
    with torch.no_grad():
        heard = model.model.encoder(torch.from_numpy(features.T[None].copy()))
        while len(tokens) < len(prompt) + count:
            logits = model(encoder_outputs=heard, decoder_input_ids=torch.tensor([tokens])).logits
            tokens.append(int(logits[0, -1].masked_fill(barred, -torch.inf).argmax()))
    return tokens[len(prompt) :]


@pytest.mark.parametrize(("layout", "outputs", "settings"), [TURBO, UNTIMED])
def test_it_writes_what_transformers_writes(
    tmp_path: Path, layout: Layout, outputs: int, settings: dict[str, Any]
) -> None:
    folder = written(tmp_path / "theirs", layout, outputs, settings)
    export_source(str(folder), tmp_path / "a.onnx", ExportOptions())
    language = "" if layout is ENGLISH else "yue"
    model = WhisperModel.load(
        tmp_path / "a.onnx", decoding=Decoding(temperatures=(0.0,), language=language)
    )
    assert model.vocabulary.size == outputs
    assert bool(model.vocabulary.times) == (layout is LARGE_V3)
    allowed = set(range(layout.end)) - set(layout.non_speech) | set(model.vocabulary.added)
    prompt = model.vocabulary.prompt(language)
    for seconds in SECONDS:
        noise = np.random.default_rng(seconds).standard_normal(16_000 * seconds)
        clip = Utterance(None, waveform=(0.1 * noise).astype(np.float32), sample_rate=16_000)
        features = model.features(clip)
        (window,) = model.listener.windows(features)
        count = len(window.tokens)
        assert count > 5
        expected = written_by_transformers(folder, features[:3_000], prompt, allowed, count)
        assert list(window.tokens) == expected

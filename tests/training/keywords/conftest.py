"""A tiny keyword corpus: a low or a high tone of thirty people, or the mains' hum of nobody."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

from quantkit.training.keywords.recipe import AugmentSettings, KeywordRecipe, ModelSettings
from quantkit.training.recipe import OptimizerSettings, Source

SAMPLE_RATE = 16_000
SECONDS = 0.2
_TONES = {"low": 600.0, "high": 3_000.0}
_HUM = 100.0


@pytest.fixture(scope="session")
def keyword_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("keywords")
    rng = np.random.default_rng(0)
    rows = ["path\tsplit\tspeaker\tgender\tlanguage\tseconds\ttext"]
    time = np.arange(int(SECONDS * SAMPLE_RATE)) / SAMPLE_RATE

    def add(name: str, speaker: str, text: str, tone: float) -> None:
        wave = 0.3 * np.sin(2 * np.pi * tone * rng.uniform(0.9, 1.1) * time)
        noise = 0.01 * rng.standard_normal(time.size)
        soundfile.write(folder / name, wave + noise, SAMPLE_RATE)
        rows.append(f"{name}\tall\t{speaker}\t\ten\t{SECONDS}\t{text}")

    for i in range(30):
        for text, tone in _TONES.items():
            # The same person under two names, as in Speech Commands.
            add(f"{text}{i}.wav", f"{i:08x}", text, tone)
            add(f"{text}{i}_other.wav", f"{text}_{i:08x}", text, tone)
        add(f"silence{i}.wav", "none", "silence", _HUM)
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def tiny_recipe() -> KeywordRecipe:
    return KeywordRecipe(
        sources=(Source("tones", holdout="speaker", test_share=0.2, valid_share=0.2),),
        model=ModelSettings(
            conv_dim=(16, 16),
            conv_kernel=(80, 8),
            conv_stride=(40, 8),
            hidden_size=16,
            num_hidden_layers=1,
            num_attention_heads=2,
            intermediate_size=32,
            conv_depthwise_kernel_size=3,
            hidden_dropout=0.0,
            layerdrop=0.0,
        ),
        optimizer=OptimizerSettings("adamw", 1e-2, warmup=0.1),
        augment=AugmentSettings(
            shift_seconds=0.01, loudest_noise=20.0, time_width=0.02, mixup_probability=0.1
        ),
        clip_seconds=SECONDS,
        steps=120,
        batch_clips=12,
        validate_every=40,
        average_decay=0.9,
        precision="float32",
    )

"""A tiny spoken corpus: every letter is a tone, so that a small model can learn to spell."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import soundfile

SAMPLE_RATE = 16_000
_TONES = {"a": 400.0, "b": 1_000.0, "c": 2_500.0}


def spoken(text: str) -> np.ndarray:
    """0.2 s of a tone for every letter, with short pauses between."""
    time = np.arange(int(0.2 * SAMPLE_RATE)) / SAMPLE_RATE
    pause = np.zeros(int(0.06 * SAMPLE_RATE))
    parts = [pause]
    for letter in text:
        parts += [0.3 * np.sin(2 * np.pi * _TONES[letter] * time), pause]
    return np.concatenate(parts).astype(np.float32)


@pytest.fixture(scope="session")
def tone_corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tones")
    rng = np.random.default_rng(0)
    rows = ["path\tsplit\tspeaker\tgender\tlanguage\tseconds\ttext"]
    for i in range(60):
        text = "".join(rng.choice(list(_TONES), size=rng.integers(1, 5)))
        waveform = spoken(text) + 0.003 * rng.standard_normal(1).astype(np.float32)
        soundfile.write(folder / f"{i}.wav", waveform, SAMPLE_RATE)
        seconds = waveform.size / SAMPLE_RATE
        rows.append(f"{i}.wav\ttrain\tspeaker{i % 6}\t\ten\t{seconds:.2f}\t{text}")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder

"""transformers.js opens our folders in the place of the original, and writes the same tokens.

``make clients`` installs it, where npm is there.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import quantkit
from quantkit.arrays import FloatArray
from quantkit.audio.corpora import open_corpus
from quantkit.audio.features import load_waveform
from quantkit.audio.whisper_frontend import WhisperFrontend
from quantkit.runtime.encoder_decoder.merged import MergedNetwork
from quantkit.runtime.session import create_session
from tests import merged_folders
from tests.clients.installed import MODULES, REPOSITORY
from tests.moonshine import END, OUTPUTS, moonshine_folder
from tests.whisper import TEXT_TOKENS, TOKENS
from tests.whisper_folder import whisper_folder

PROGRAM = REPOSITORY / "tests" / "clients" / "generate.mjs"
COUNT = 6

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        shutil.which("node") is None or not (MODULES / "@huggingface").is_dir(),
        reason="transformers.js is not installed: make clients",
    ),
]


@pytest.fixture(scope="module")
def clip() -> FloatArray:
    (speech,) = open_corpus(REPOSITORY / "calibration_data").sample(1)
    return load_waveform(speech, 16_000)[:24_000]


def describe(folder: Path, family: str, start: int, end: int, size: int) -> None:
    """Settings that the folders of onnx-community have beside their graphs."""
    sides = {
        f"{side}_{name}": value
        for side in ("encoder", "decoder")
        for name, value in {
            "layers": merged_folders.LAYERS,
            "num_hidden_layers": merged_folders.LAYERS,
            "attention_heads": merged_folders.HEADS,
            "num_attention_heads": merged_folders.HEADS,
            "num_key_value_heads": merged_folders.HEADS,
        }.items()
    }
    tokens = {"decoder_start_token_id": start, "bos_token_id": start, "eos_token_id": end}
    config: dict[str, Any] = {
        "model_type": family.lower(),
        "architectures": [f"{family}ForConditionalGeneration"],
        "is_encoder_decoder": True,
        "vocab_size": size,
        "d_model": merged_folders.WIDTH,
        "hidden_size": merged_folders.WIDTH,
        "max_source_positions": 1_500,
        "max_target_positions": 448,
        "pad_token_id": end,
        **tokens,
        **sides,
    }
    (folder / "config.json").write_text(json.dumps(config))
    settings = {**tokens, "pad_token_id": end, "max_length": 448, "is_multilingual": False}
    (folder / "generation_config.json").write_text(json.dumps(settings))
    inner = folder / "onnx"
    inner.mkdir()
    for graph in folder.glob("*.onnx"):
        graph.rename(inner / graph.name)


def written(folder: Path, family: str, heard: FloatArray, scratch: Path) -> list[int]:
    """Tokens, the start among them."""
    (scratch / "heard.f32").write_bytes(heard.astype("<f4").tobytes())
    shape = ",".join(map(str, heard.shape))
    command = ["node", PROGRAM, MODULES, folder, family, scratch / "heard.f32", shape, COUNT]
    done = subprocess.run([*map(str, command)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-2_000:]
    found: list[int] = json.loads(done.stdout.splitlines()[-1])
    return found


def likeliest(folder: Path, heard: FloatArray, start: int) -> list[int]:
    """The same by our runner of the published form."""
    graphs = (
        folder / "onnx" / f"{name}.onnx" for name in ("encoder_model", "decoder_model_merged")
    )
    network = MergedNetwork(*map(create_session, graphs))
    encoded, memory, tokens = network.encode(heard), network.empty_memory(), [start]
    for _ in range(COUNT):
        log_probs, memory = network.step(np.array([tokens[-1:]]), encoded, memory)
        tokens.append(int(log_probs[0, -1].argmax()))
    return tokens


@pytest.mark.parametrize("family", ["Whisper", "Moonshine"])
def test_it_writes_what_our_runner_writes(
    family: str, clip: FloatArray, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    if family == "Whisper":
        made, start, end, size = (
            whisper_folder(tmp_path_factory),
            TEXT_TOKENS + 1,
            TEXT_TOKENS,
            TOKENS,
        )
        heard = WhisperFrontend()(clip)[:3_000].T[None]
    else:
        made, start, end, size = moonshine_folder(tmp_path_factory), 1, END, OUTPUTS
        heard = clip[None]
    folder = Path(shutil.copytree(made, tmp_path / "original"))
    describe(folder, family, start, end, size)
    small = quantkit.quantize(folder, tmp_path / "small", "dynamic-int8").path
    for each in (folder, small):
        expected = likeliest(each, heard, start)
        found = written(each, family, heard, tmp_path)
        assert found == expected[: len(found)]
        assert len(found) > 2 or expected[len(found) - 1] == end

"""``quantkit train`` from a shell's point of view."""

from __future__ import annotations

import json
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

from tests.cli import shell  # noqa: E402

_RECIPE = """
steps = 2
validate_every = 2
precision = "float32"
[model]
labels = 29
width = 8
head_width = 8
[[source]]
name = "tones"
valid_share = 0.3
[[stage]]
until = 1.0
max_seconds = 5.0
repeats = { tones = 1 }
"""


run = partial(shell.run, "train")


def corpus(folder: Path, splits: list[str]) -> Path:
    """One half-second clip for each entry of ``splits``, named after it."""
    folder.mkdir()
    rows = ["path\tsplit\tspeaker\tgender\tlanguage\tseconds\ttext"]
    rng = np.random.default_rng(0)
    for i, split in enumerate(splits):
        soundfile.write(folder / f"{split}{i}.wav", 0.1 * rng.standard_normal(8_000), 16_000)
        rows.append(f"{split}{i}.wav\t{split}\ts{i}\t\ten\t0.5\tab")
    (folder / "manifest.tsv").write_text("\n".join(rows) + "\n")
    return folder


@pytest.fixture
def recipe(tmp_path: Path) -> Path:
    path = tmp_path / "recipe.toml"
    path.write_text(_RECIPE)
    return path


@pytest.fixture
def tones(tmp_path: Path) -> Path:
    return corpus(tmp_path / "tones", ["train"] * 20)


def error_line(capsys: pytest.CaptureFixture[str]) -> str:
    error = capsys.readouterr().err
    assert error.startswith("quantkit: ")
    assert error.count("\n") == 1
    return error


def test_programs_can_read_what_it_did(
    recipe: Path, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    output = tmp_path / "run"
    assert run(recipe, "--data", f"tones={tones}", "-o", output, "--json") == 0
    made = json.loads(capsys.readouterr().out)
    assert made["path"] == str(output / "best")
    assert made["steps"] == 2


def test_an_earlier_run_is_not_replaced_unasked(
    recipe: Path, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = (recipe, "--data", f"tones={tones}", "-o", tmp_path / "run", "--device", "cpu")
    assert run(*arguments) == 0
    state = (tmp_path / "run" / "last.pt").read_bytes()
    decoded = sorted((tmp_path / "run" / "audio").iterdir())
    capsys.readouterr()
    (tones / "train0.wav").touch()

    assert run(*arguments) == 2

    assert "run holds an earlier run: add --resume to go on, or choose another" in error_line(
        capsys
    )
    assert (tmp_path / "run" / "last.pt").read_bytes() == state
    assert sorted((tmp_path / "run" / "audio").iterdir()) == decoded
    assert run(*arguments, "--resume", "--steps", "4") == 0
    assert "resuming at step 2" in capsys.readouterr().err


def test_a_best_checkpoint_alone_is_an_earlier_run_too(
    recipe: Path, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run" / "best").mkdir(parents=True)
    assert run(recipe, "--data", f"tones={tones}", "-o", tmp_path / "run") == 2
    assert "holds an earlier run" in error_line(capsys)


@pytest.mark.parametrize(
    "device",
    [
        "nonsense",
        "meta",
        pytest.param(
            "cuda", marks=pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
        ),
    ],
)
def test_a_device_that_is_not_there_is_one_line_before_decoding(
    device: str, recipe: Path, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "run"
    assert run(recipe, "--data", f"tones={tones}", "-o", folder, "--device", device) == 2
    assert f"cannot train on device '{device}'" in error_line(capsys)
    assert not folder.exists()


def test_clips_that_are_not_used_are_named(
    recipe: Path, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("train3.wav", "train5.wav"):
        path = tones / name
        path.write_bytes(path.read_bytes()[:5_000])
    command = (recipe, "--data", f"tones={tones}", "-o", tmp_path / "run", "--device", "cpu")
    assert run(*command) == 0
    error = capsys.readouterr().err
    assert "tones: left out 2 clips: " in error
    assert "is cut off" in error


def test_the_small_preset_refuses_a_corpus_that_is_for_measuring_only(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = corpus(tmp_path / "calibration_data", ["calibration", "test"] * 5)
    assert run("small", "--data", f"corpus={folder}", "-o", tmp_path / "run") == 2
    error = error_line(capsys)
    assert "no clips to train on: all are of the splits calibration, test" in error
    assert not (tmp_path / "run").exists()


_CLASSIFIER = """
task = "classification"
steps = 2
batch_clips = 8
clip_seconds = 0.5
validate_every = 2
precision = "float32"
[model]
conv_dim = [16, 16]
conv_kernel = [80, 8]
conv_stride = [40, 8]
hidden_size = 16
num_hidden_layers = 1
num_attention_heads = 2
intermediate_size = 16
conv_depthwise_kernel_size = 3
[[source]]
name = "tones"
holdout = "speaker"
valid_share = 0.3
"""


def test_a_recipe_for_classification_trains_a_keyword_spotter(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "keywords.toml"
    recipe.write_text(_CLASSIFIER)
    arguments = (recipe, "--data", f"tones={tones}", "-o", tmp_path / "run", "--device", "cpu")
    assert run(*arguments) == 0
    shown = capsys.readouterr()
    assert "step 2: loss" in shown.err
    assert "accuracy 100.0%" in shown.err
    assert "best validation error rate 0.00%" in shown.out
    assert (tmp_path / "run" / "best" / "preprocessor_config.json").is_file()
    assert run(*arguments, "--resume", "--steps", "3") == 0
    assert "resuming at step 2, best error rate 0.00%" in capsys.readouterr().err


def test_a_recipe_for_no_known_task_is_one_line(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "translation.toml"
    recipe.write_text(_CLASSIFIER.replace("classification", "translation"))
    assert run(recipe, "--data", f"tones={tones}", "-o", tmp_path / "run") == 2
    complaint = "task must be one of ctc, classification, rnnt, tdt, wav2vec2, not 'translation'"
    assert complaint in error_line(capsys)


@pytest.mark.slow
@pytest.mark.parametrize("task", ["rnnt", "tdt"])
def test_a_recipe_for_a_transducer_trains_one(
    task: str, tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sizes = "hidden_size = 16\nnum_hidden_layers = 1\nintermediate_size = 16\n"
    recipe = tmp_path / "transducer.toml"
    recipe.write_text(
        f"task = '{task}'\n"
        + _RECIPE.replace("labels = 29\nwidth = 8\nhead_width = 8\n", sizes).replace(
            "valid_share = 0.3", "valid_share = 0.3\njoin = 2\njoin_speakers = false"
        )
    )
    assert run(recipe, "--data", f"tones={tones}", "-o", tmp_path / "run") == 0
    assert capsys.readouterr().out.startswith("best validation WER ")
    config = json.loads((tmp_path / "run" / "best" / "config.json").read_text())
    assert config["model_type"] == f"parakeet_{task}"


def test_a_transducer_of_impossible_sizes_is_one_line(
    tones: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recipe = tmp_path / "transducer.toml"
    recipe.write_text(
        "task = 'tdt'\n"
        + _RECIPE.replace("labels = 29\nwidth = 8\nhead_width = 8", "hidden_size = 15")
    )
    assert run(recipe, "--data", f"tones={tones}", "-o", tmp_path / "run") == 2
    assert "hidden_size must be even" in error_line(capsys)
    assert not (tmp_path / "run").exists()

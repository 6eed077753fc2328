"""What a program cannot load is refused in one line, and nothing is written."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import quantkit
from quantkit.errors import InputError, ModelError
from tests.cli.shell import run
from tests.exporting.folders import small_folders


@pytest.mark.parametrize(
    ("name", "profile", "reason"),
    [
        ("icefall", "transformers.js", "does not load a transducer model"),
        ("moonshine", "onnx-asr", "does not load a moonshine model"),
        ("ctc-True", "onnx-asr", "features are made by the program"),
        ("ctc-False", "sherpa-onnx", "hears the level of a clip"),
        ("tdt", "sherpa-onnx", "its predictor and joiner are one graph"),
        ("gigaam-ctc", "sherpa-onnx", "does not hear NeMo's"),
        ("chunks", "onnx-asr", "does not load a streaming-transducer model"),
    ],
)
def test_the_reason_is_named(
    name: str,
    profile: str,
    reason: str,
    artifact: Callable[[str], Path],
    licence: Path,
    tmp_path: Path,
) -> None:
    with pytest.raises(ModelError, match=reason):
        quantkit.ship(artifact(name), tmp_path / "made", licence=licence, profile=profile)
    assert not (tmp_path / "made").exists()


def test_the_command_line_ends_with_2(
    artifact: Callable[[str], Path],
    licence: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    given = ("-o", tmp_path / "made", "--licence", licence, "--profile", "transformers.js")
    assert run("ship", artifact("icefall"), *given) == 2
    assert "does not load a transducer" in capsys.readouterr().err
    assert not (tmp_path / "made").exists()


def test_options_of_examples_are_refused(
    artifact: Callable[[str], Path], licence: Path, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="--clip is for bundles with examples"):
        quantkit.ship(
            artifact("icefall"),
            tmp_path / "made",
            licence=licence,
            profile="sherpa-onnx",
            clip=tmp_path / "clip.wav",
        )
    with pytest.raises(InputError, match="no profile 'vosk'"):
        quantkit.ship(artifact("icefall"), tmp_path / "made", licence=licence, profile="vosk")


def test_an_earlier_folder_is_replaced_with_force_alone(
    artifact: Callable[[str], Path], licence: Path, tmp_path: Path
) -> None:
    made = quantkit.ship(
        artifact("icefall"), tmp_path / "made", licence=licence, profile="sherpa-onnx"
    )
    assert made.manifest.profile == "sherpa-onnx"
    before = (made.path / "manifest.json").read_bytes()
    with pytest.raises(quantkit.QuantkitError, match="--force"):
        quantkit.ship(
            artifact("icefall"), tmp_path / "made", licence=licence, profile="sherpa-onnx"
        )
    quantkit.ship(
        artifact("icefall"),
        tmp_path / "made",
        licence=licence,
        profile="sherpa-onnx",
        force=True,
    )
    # The same inputs give the same bytes.
    assert (made.path / "manifest.json").read_bytes() == before


def test_what_was_changed_is_found(
    artifact: Callable[[str], Path], licence: Path, tmp_path: Path
) -> None:
    made = quantkit.ship(
        artifact("icefall"), tmp_path / "made", licence=licence, profile="sherpa-onnx"
    )
    (made.path / "tokens.txt").write_text("another")
    with pytest.raises(quantkit.QuantkitError, match=r"tokens\.txt"):
        quantkit.verify(made.path).require()


def test_a_folder_of_another_layout_becomes_one_of_the_program(
    licence: Path, tmp_path: Path
) -> None:
    """From sherpa-onnx's folder to onnx-asr's and back the labels and graphs stay what they are."""
    folder = small_folders.write_sherpa_nemo(tmp_path / "theirs")
    made = quantkit.ship(folder, tmp_path / "made", licence=licence, profile="onnx-asr")
    names = {entry.path for entry in made.files}
    assert {"encoder-model.onnx", "decoder_joint-model.onnx", "vocab.txt", "config.json"} <= names
    lines = (made.path / "vocab.txt").read_text(encoding="utf-8").splitlines()
    assert lines == (folder / "tokens.txt").read_text(encoding="utf-8").splitlines()

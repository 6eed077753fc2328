"""``quantkit unpack`` from a shell's point of view."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.quantization import QuantizeSettings, quantize_model
from tests.cli.shell import run
from tests.small_model import model, source

__all__ = ["model", "source"]


@pytest.fixture
def packed(source: Path, tmp_path: Path) -> Path:
    settings = QuantizeSettings(compute="dynamic", codec=CodecChoice.parse("bitplane:4"))
    return quantize_model(source, tmp_path / "packed.onnx", settings).path


@pytest.mark.slow
def test_it_writes_an_artifact_that_verifies(packed, tmp_path, capsys) -> None:
    assert run("unpack", packed, "-o", tmp_path / "unpacked.onnx") == 0
    assert "tensors unpacked" in capsys.readouterr().out
    assert run("verify", tmp_path / "unpacked.onnx") == 0
    assert run("inspect", tmp_path / "unpacked.onnx", "--json") == 0


@pytest.mark.slow
def test_json_names_sizes(packed, tmp_path, capsys) -> None:
    assert run("unpack", packed, "-o", tmp_path / "unpacked.onnx", "--json") == 0
    found = json.loads(capsys.readouterr().out)
    assert found["size_bytes"] > found["source_bytes"] == packed.stat().st_size


@pytest.mark.slow
def test_a_dry_run_writes_nothing(packed, tmp_path, capsys) -> None:
    assert run("unpack", packed, "-o", tmp_path / "unpacked.onnx", "--dry-run") == 0
    assert "would        unpack" in capsys.readouterr().out
    assert not (tmp_path / "unpacked.onnx").exists()


@pytest.mark.slow
def test_it_does_not_replace_what_it_reads(packed, capsys) -> None:
    before = packed.read_bytes()
    assert run("unpack", packed, "-o", packed) == 2
    assert packed.read_bytes() == before


def test_a_float_model_has_nothing_packed(source, tmp_path, capsys) -> None:
    assert run("unpack", source, "-o", tmp_path / "unpacked.onnx") == 2
    assert "no packed weights" in capsys.readouterr().err

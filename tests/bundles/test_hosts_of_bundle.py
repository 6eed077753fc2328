"""A bundle says on which processors its model is right."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantkit.audio.frontend import Frontend
from quantkit.bundles import ship, verify
from quantkit.bundles.manifest import read_manifest
from quantkit.errors import BundleError
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.target_cpu import TargetCpu
from tests.bundles.conftest import LABELS, recogniser


def shipped_for(target: TargetCpu, folder: Path) -> Path:
    info = ArtifactInfo(labels=LABELS, frontend=Frontend(), task="ctc", licence="CC0-1.0")
    save_model(recogniser(info), folder / "float32.onnx")
    quantize_model(
        folder / "float32.onnx",
        folder / "int8.onnx",
        QuantizeSettings(compute="dynamic"),
        fitting=PtqSettings(target_cpu=target),
    )
    ship(folder / "int8.onnx", folder / "bundle")
    return folder / "bundle"


@pytest.mark.slow
@pytest.mark.parametrize(
    ("target", "exact_on", "sentence"),
    [
        ("any", ("any", "avx2", "vnni", "arm"), "exact on x86 with and without VNNI"),
        ("vnni", ("vnni", "arm"), "without VNNI they may overflow in 1 of 1 integer layers"),
    ],
)
def test_manifest_card_and_verify_agree(target, exact_on, sentence, tmp_path: Path) -> None:
    bundle = shipped_for(target, tmp_path)
    hosts = read_manifest(bundle).hosts
    assert hosts is not None
    assert hosts.exact_on == exact_on
    assert sentence in (bundle / "CARD.md").read_text()
    assert verify(bundle).hosts == hosts


def test_a_float_model_needs_no_word_about_it(bundle: Path) -> None:
    hosts = read_manifest(bundle).hosts
    assert hosts is not None
    assert hosts.layers == ()
    assert "VNNI" not in (bundle / "CARD.md").read_text()


def test_a_bundle_of_before_is_still_read(bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    del manifest["hosts"]
    (bundle / "manifest.json").write_text(json.dumps(manifest))
    assert read_manifest(bundle).hosts is None
    assert verify(bundle).findings == ()


@pytest.mark.parametrize("hosts", [None, [], {"layers": 3}, {"layers": [{"name": "a"}]}])
def test_nonsense_about_processors_is_refused(hosts, bundle: Path) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    (bundle / "manifest.json").write_text(json.dumps(manifest | {"hosts": hosts}))
    with pytest.raises(BundleError, match=r"manifest\.json: 'hosts'"):
        read_manifest(bundle)

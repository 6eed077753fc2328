"""The bill of materials is CycloneDX, and names models, data and licences."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import onnx
import onnxruntime
import pytest
from cyclonedx.schema import SchemaVersion
from cyclonedx.validation.json import JsonStrictValidator

from quantkit.bundles import ship
from quantkit.bundles.licences import _PHRASES
from quantkit.bundles.manifest import SBOM
from quantkit.bundles.sbom import spdx_licence
from quantkit.disk.files import sha256_of
from quantkit.graph.artifact import save_model
from quantkit.graph.info import ArtifactInfo, set_info
from quantkit.graph.provenance import PROVENANCE, Provenance

VALIDATOR = JsonStrictValidator(SchemaVersion.V1_6)


def bill_of(bundle: Path) -> dict[str, Any]:
    """The bill of a bundle, which is valid."""
    text = (bundle / SBOM).read_text(encoding="utf-8")
    error = VALIDATOR.validate_str(text)
    assert error is None, error
    content: dict[str, Any] = json.loads(text)
    return content


def part(bill: dict[str, Any], ref: str) -> dict[str, Any]:
    (found,) = [each for each in bill["components"] if each["bom-ref"] == ref]
    return found


def digest(component: dict[str, Any]) -> str:
    (found,) = component["hashes"]
    assert found["alg"] == "SHA-256"
    return str(found["content"])


def test_it_names_models_and_libraries_with_licences(bundle: Path) -> None:
    bill = bill_of(bundle)
    model = bill["metadata"]["component"]
    assert model["type"] == "machine-learning-model"
    assert model["name"] == "tiny int8"
    assert model["licenses"] == [{"license": {"id": "CC0-1.0"}}]
    assert (
        digest(model) == digest(part(bill, "file:model.onnx")) == sha256_of(bundle / "model.onnx")
    )
    assert digest(part(bill, "source-model")) == "ab" * 32
    libraries = {each["name"]: each for each in bill["components"] if each["type"] == "library"}
    assert libraries["onnxruntime"]["version"] == onnxruntime.__version__
    assert libraries["onnxruntime"]["licenses"] == [{"license": {"id": "MIT"}}]
    assert bill["metadata"]["tools"]["components"][0]["name"] == "quantkit"


def test_it_names_data_by_digest(artifact: Path, info: ArtifactInfo, tmp_path: Path) -> None:
    model = onnx.load(artifact)
    made = Provenance("cd" * 32, 80, 241.5, {})
    set_info(model, replace(info, extra={PROVENANCE: made.to_json()}))
    save_model(model, artifact)
    ship(artifact, tmp_path / "b")
    bill = bill_of(tmp_path / "b")
    audio = part(bill, "calibration-audio")
    assert (audio["type"], digest(audio)) == ("data", "cd" * 32)
    assert {"name": "quantkit:clips", "value": "80"} in audio["properties"]
    parameters = bill["metadata"]["component"]["modelCard"]["modelParameters"]
    assert parameters["datasets"] == [{"ref": "calibration-audio"}]


def test_figures_of_a_bench_with_their_corpus(
    artifact: Path, tmp_path: Path, bench_of: Callable[[Path], Path]
) -> None:
    ship(artifact, tmp_path / "b", bench=bench_of(artifact))
    bill = bill_of(tmp_path / "b")
    assert part(bill, "bench-corpus")["name"] == "calibration_data"
    card = bill["metadata"]["component"]["modelCard"]
    assert card["quantitativeAnalysis"]["performanceMetrics"][0] == {
        "type": "character error rate",
        "value": "0.0789",
        "slice": "calibration_data",
        "confidenceInterval": {"lowerBound": "0.07", "upperBound": "0.09"},
    }


def test_it_has_a_number_of_its_own_and_no_date(
    artifact: Path, bundle: Path, tmp_path: Path
) -> None:
    ship(artifact, tmp_path / "same")
    ship(artifact, tmp_path / "other", name="another name")
    first, same, other = map(bill_of, (bundle, tmp_path / "same", tmp_path / "other"))
    assert first == same
    assert first["serialNumber"] != other["serialNumber"]
    assert "timestamp" not in first["metadata"]


@pytest.mark.parametrize(
    "name",
    [
        *(name for name, _ in _PHRASES),
        "CC-BY-4.0",
        "CC-BY-NC-SA-3.0",
        "CC-BY-9.9",
        "licence of the lab",
        "",
    ],
)
def test_every_licence_gives_a_valid_bill(
    name: str, artifact: Path, info: ArtifactInfo, tmp_path: Path, bundle: Path
) -> None:
    bill = bill_of(bundle)
    bill["metadata"]["component"]["licenses"] = [spdx_licence(f"Licence: {name}", name)]
    assert VALIDATOR.validate_str(json.dumps(bill)) is None


def test_what_is_no_usual_licence_has_its_name_or_first_line() -> None:
    assert spdx_licence("\nAll rights are ours.\nMore.", "") == {
        "license": {"name": "All rights are ours."}
    }
    assert spdx_licence("All rights are ours.", "lab-1.0") == {"license": {"name": "lab-1.0"}}

"""Verification finds every difference, and trusts nothing that a manifest says."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import onnx
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quantkit.bundles import verify
from quantkit.bundles.manifest import read_manifest, why_unsafe
from quantkit.disk.files import sha256_of
from quantkit.errors import BundleError, VerificationError


def edit(bundle: Path, change: Callable[[dict[str, Any]], None]) -> None:
    manifest = json.loads((bundle / "manifest.json").read_text())
    change(manifest)
    (bundle / "manifest.json").write_text(json.dumps(manifest))


def listing(bundle: Path, name: str) -> dict[str, Any]:
    return {"path": name, "bytes": (bundle / name).stat().st_size,
            "sha256": sha256_of(bundle / name)}  # fmt: skip


def problems(bundle: Path) -> list[tuple[str, str]]:
    return [(finding.problem, finding.path) for finding in verify(bundle).findings]


class TestFiles:
    def test_an_untouched_bundle_passes_and_runs(self, bundle: Path) -> None:
        result = verify(bundle)
        result.require(bundle)
        assert result.runtime is not None
        assert result.manifest_sha256 == sha256_of(bundle / "manifest.json")

    @pytest.mark.parametrize(
        "name", ["model.onnx", "labels.json", "frontend.json", "LICENCE", "CARD.md", "example.py"]
    )
    def test_one_flipped_bit_anywhere(self, bundle: Path, name: str) -> None:
        content = bytearray((bundle / name).read_bytes())
        content[len(content) // 2] ^= 1
        (bundle / name).write_bytes(content)
        assert problems(bundle) == [("changed", name)]

    def test_missing_longer_and_extra_files(self, bundle: Path) -> None:
        (bundle / "LICENCE").unlink()
        with (bundle / "CARD.md").open("a") as stream:
            stream.write("more")
        (bundle / ".hidden").write_text("")
        (bundle / "folder").mkdir()
        (bundle / "folder/inner.txt").write_text("")
        assert problems(bundle) == [
            ("extra", ".hidden"),
            ("size", "CARD.md"),
            ("missing", "LICENCE"),
            ("extra", "folder"),
            ("extra", "folder/inner.txt"),
        ]
        with pytest.raises(VerificationError, match="and 2 more"):
            verify(bundle).require(bundle)

    def test_a_link_in_place_of_a_file(self, bundle: Path) -> None:
        (bundle / "CARD.md").unlink()
        (bundle / "CARD.md").symlink_to("LICENCE")
        assert problems(bundle) == [("symlink", "CARD.md")]

    def test_an_extra_link_to_a_folder_is_named_and_not_entered(
        self, bundle: Path, tmp_path: Path
    ) -> None:
        (bundle / "way-out").symlink_to(tmp_path)
        assert problems(bundle) == [("symlink", "way-out")]

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
    def test_a_pipe_does_not_hang_it(self, bundle: Path) -> None:
        (bundle / "CARD.md").unlink()
        os.mkfifo(bundle / "CARD.md")
        assert problems(bundle) == [("special", "CARD.md")]

    def test_a_rewritten_manifest_is_found_by_its_own_checksum(self, bundle: Path) -> None:
        trusted = sha256_of(bundle / "manifest.json")
        (bundle / "LICENCE").write_text("do as you like\n")
        changed = listing(bundle, "LICENCE")
        edit(bundle, lambda m: m.update(
            files=[changed if f["path"] == "LICENCE" else f for f in m["files"]]
        ))  # fmt: skip
        assert problems(bundle) == []
        found = verify(bundle, manifest_sha256=trusted).findings
        assert [(f.problem, f.path) for f in found] == [("changed", "manifest.json")]


class TestModel:
    def relist(self, bundle: Path) -> None:
        """As an attacker or a careless person would: checksums made to fit."""
        edit(bundle, lambda m: m.update(
            files=[listing(bundle, f["path"]) for f in m["files"]]
        ))  # fmt: skip

    def test_a_model_that_does_not_load(self, bundle: Path) -> None:
        model = onnx.load(str(bundle / "model.onnx"))
        model.graph.node[-2].op_type = "NoSuchOperator"
        (bundle / "model.onnx").write_bytes(model.SerializeToString())
        self.relist(bundle)
        (finding,) = verify(bundle).findings
        assert finding.problem == "model"
        assert "NoSuchOperator" in finding.detail

    def test_labels_that_are_not_the_models(self, bundle: Path) -> None:
        labels = json.loads((bundle / "labels.json").read_text(encoding="utf-8"))
        labels["tokens"][1:3] = labels["tokens"][2:0:-1]
        (bundle / "labels.json").write_text(json.dumps(labels))
        self.relist(bundle)
        assert problems(bundle) == [("model", "labels.json")]

    def test_a_model_that_reads_weights_outside_the_bundle(self, bundle: Path) -> None:
        model = onnx.load(str(bundle / "model.onnx"))
        weight = next(t for t in model.graph.initializer if t.name == "weight")
        weight.ClearField("raw_data")
        weight.data_location = onnx.TensorProto.EXTERNAL
        weight.external_data.add(key="location", value="../secret")
        (bundle.parent / "secret").write_bytes(b"\0" * 640)
        (bundle / "model.onnx").write_bytes(model.SerializeToString())
        self.relist(bundle)
        with pytest.raises(BundleError, match=r"outside its folder: \.\./secret"):
            verify(bundle)

    def test_a_file_that_is_no_model(self, bundle: Path) -> None:
        (bundle / "model.onnx").write_bytes(b"not a model")
        self.relist(bundle)
        with pytest.raises(BundleError, match="not an ONNX model"):
            verify(bundle)


class TestManifest:
    @pytest.mark.parametrize(
        ("path", "reason"),
        [
            ("/etc/passwd", "is absolute"),
            ("C:/Windows/system.ini", "is absolute"),
            ("c:boot.ini", "is absolute"),
            ("\\\\server\\share", "is absolute"),
            ("../outside", "leaves the bundle"),
            ("a/../../outside", "leaves the bundle"),
            ("a\\..\\..\\outside", "leaves the bundle"),
            ("a\\b", "contains a character"),
            ("model.onnx:stream", "contains a character"),
            ("a\x00b", "contains a character"),
            ("a//b", "empty part"),
            ("./a", "empty part"),
            ("a/", "empty part"),
            ("a. ", "ends in a dot or space"),
            ("con", "Windows device"),
            ("a/NUL.txt", "Windows device"),
            ("", "empty"),
            ("\ud800", "not Unicode"),
        ],
    )
    def test_a_path_that_is_not_plain_is_refused(
        self, bundle: Path, path: str, reason: str
    ) -> None:
        entry = {"path": path, "bytes": 1, "sha256": "0" * 64}
        edit(bundle, lambda m: m["files"].append(entry))
        with pytest.raises(BundleError, match=reason):
            verify(bundle)

    @pytest.mark.parametrize("twin", ["model.onnx", "MODEL.onnx", "Manifest.JSON", "LICENCE/x"])
    def test_paths_that_are_one_file_somewhere_are_refused(self, bundle: Path, twin: str) -> None:
        entry = {"path": twin, "bytes": 1, "sha256": "0" * 64}
        edit(bundle, lambda m: m["files"].append(entry))
        with pytest.raises(BundleError, match=r"one file|as a file and as a folder"):
            verify(bundle)

    def test_a_link_that_leaves_the_bundle(self, bundle: Path, tmp_path: Path) -> None:
        (tmp_path / "elsewhere").write_bytes((bundle / "CARD.md").read_bytes())
        (bundle / "CARD.md").unlink()
        (bundle / "CARD.md").symlink_to(tmp_path / "elsewhere")
        with pytest.raises(BundleError, match=r"'CARD\.md' is a link that leaves the bundle"):
            verify(bundle)

    def test_a_folder_link_that_leaves_the_bundle(self, bundle: Path, tmp_path: Path) -> None:
        (tmp_path / "out").mkdir()
        (tmp_path / "out/x").write_text("x")
        (bundle / "in").symlink_to(tmp_path / "out")
        edit(bundle, lambda m: m["files"].append(listing(bundle, "in/x")))
        with pytest.raises(BundleError, match="leaves the bundle"):
            verify(bundle)

    @pytest.mark.parametrize(
        ("change", "message"),
        [
            ({"schema": "quantkit.bundle/7"}, "schema 'quantkit.bundle/7'"),
            ({"files": {}}, "'files' is not a list"),
            ({"files": []}, r"lists no model\.onnx"),
            ({"files": ["model.onnx"]}, "is not an object"),
            ({"files": [{"path": 3}]}, "'path' is missing or not a string"),
            ({"files": [{"path": "a", "bytes": -1}]}, "'bytes'"),
            ({"files": [{"path": "a", "bytes": True}]}, "'bytes'"),
            ({"files": [{"path": "a", "bytes": 1, "sha256": "ab"}]}, "64 hexadecimal digits"),
            ({"tested_on": 3}, "'tested_on'"),
            ({"name": None}, "'name'"),
        ],
    )
    def test_a_malformed_manifest(self, bundle: Path, change: dict[str, Any], message: str) -> None:
        edit(bundle, lambda m: m.update(change))
        with pytest.raises(BundleError, match=message):
            verify(bundle)

    @pytest.mark.parametrize("content", ["", "{", "[" * 100_000, "\xff", "null", '"text"'])
    def test_a_manifest_that_is_no_json_object(self, bundle: Path, content: str) -> None:
        (bundle / "manifest.json").write_bytes(content.encode("latin-1"))
        with pytest.raises(BundleError):
            read_manifest(bundle)

    def test_no_manifest_and_no_folder(self, bundle: Path, tmp_path: Path) -> None:
        with pytest.raises(BundleError, match=r"is neither an \.onnx nor the folder"):
            verify(tmp_path / "nowhere")
        (bundle / "manifest.json").unlink()
        with pytest.raises(BundleError, match="is not a bundle"):
            verify(bundle)


@pytest.mark.slow
@given(st.text(alphabet="ab./\\:~ \0", max_size=12))
def test_a_path_that_is_called_safe_stays_inside(path: str) -> None:
    if not why_unsafe(path):
        root = Path(os.sep, "bundle").resolve()
        assert (root / path).resolve() != root
        assert (root / path).resolve().is_relative_to(root)

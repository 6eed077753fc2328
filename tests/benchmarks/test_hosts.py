"""The shipped files on several processors: what is run, and how it is compared."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from benchmarks import emulators, hosts
from benchmarks.emulators import Processor, native
from benchmarks.host_kernels import kernels, write_kernels
from quantkit.runtime.hosts import hosts_of


def test_the_worker_runs_each_model_on_its_own_inputs(tmp_path: Path) -> None:
    inputs = write_kernels(tmp_path, 64)
    found = hosts.run_on(native(), tmp_path, inputs)
    assert found.keys() == {f"{name}/0" for name, _, _ in kernels(64)}
    np.testing.assert_allclose(found["DynamicQuantizeMatMul/0"][0, [0, -1]], [4096, -4096])


@pytest.mark.parametrize("largest", [64, 127])
def test_kernels_hold_the_weights_that_are_asked_for(largest: int, tmp_path: Path) -> None:
    write_kernels(tmp_path, largest)
    for kernel in ("QLinearConv", "QGemm", "DynamicQuantizeLSTM", "MatMulInteger"):
        assert hosts_of(tmp_path / f"{kernel}.onnx").largest_level == largest


def test_a_processor_that_fails_says_why(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text("raise SystemExit('no such instruction')")
    with pytest.raises(RuntimeError, match="this processor: no such instruction"):
        native().run([script])


def test_a_processor_is_shown_its_own_features(tmp_path: Path) -> None:
    path = tmp_path / "cpuinfo"
    script = tmp_path / "script.py"
    script.write_text("import sys; assert open(sys.argv[1]).read() == 'asimd'")
    Processor("it", native().command, cpuinfo=(path, "asimd")).run([script, path])


def test_what_cannot_be_emulated_is_left_out(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(emulators.shutil, "which", lambda name: None)
    found, missing = hosts.emulated(tmp_path, small=False)
    assert found == []
    assert [reason.partition(":")[0] for reason in missing] == ["x86 without VNNI", "ARM"]


def test_figures_compare_frames() -> None:
    one = np.log(np.array([[[0.9, 0.1], [0.2, 0.8]]], np.float32))
    other = np.log(np.array([[[0.4, 0.6], [0.2, 0.8]]], np.float32))
    before, after = {"m/0": one}, {"m/0": other}
    assert hosts.changed(before, after, "m") == 0.5
    expected = 0.9 * np.log(0.9 / 0.4) + 0.1 * np.log(0.1 / 0.6)
    assert hosts.moved(before, after, "m", "m") == pytest.approx(expected / 2, rel=1e-4)
    assert "(50.0%)" in hosts.file_table(
        ["m"], {"this processor": {**before, "float32/0": one}, "x": after}
    )


def test_blocks_of_all_sizes_share_a_row() -> None:
    place = ("x86, AVX2", 127)
    errors = {"MatMulNBits, 2 bits": {place: 0.0}, "MatMulNBits, 4 bits": {place: 0.5}}
    rows = hosts.kernel_table(errors).splitlines()
    assert rows[0] == "| kernel | x86, AVX2, ±127 |"
    assert rows[2:] == ["| MatMulNBits | off by 50% |"]

"""The front: what can be had at every size, and nothing that something else beats."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from quantkit.errors import InputError
from quantkit.graph.artifact import save_model
from quantkit.planning.front_file import require_front_form, write_front
from quantkit.planning.optimal import Planner
from quantkit.planning.pareto import (
    Front,
    FrontPoint,
    pareto_front,
)
from quantkit.planning.pareto_plot import front_figure
from quantkit.planning.size import with_sizes
from quantkit.quantization import QuantizeSettings
from tests.planning.synthetic import synthetic_sensitivity, synthetic_times
from tests.small_model import masked_convolutions


@pytest.fixture(scope="module")
def source(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("pareto") / "float32.onnx"
    save_model(masked_convolutions(width=4), path)
    return path


@pytest.fixture(scope="module")
def planner(source) -> Planner:
    return Planner.of(source, synthetic_sensitivity(source), QuantizeSettings())


@pytest.fixture(scope="module")
def front(planner) -> Front:
    return pareto_front(planner, budgets=12)


@pytest.fixture(scope="module")
def timed(source) -> Front:
    table = synthetic_sensitivity(source)
    times = synthetic_times(table)
    planner = Planner.of(source, table, QuantizeSettings(), times=times, any_compute=True)
    return pareto_front(planner, timed=True, budgets=5)


def test_larger_files_are_better(front) -> None:
    sizes = [point.size_bytes for point in front.points]
    divergences = [point.divergence for point in front.points]
    assert len(sizes) > 6
    assert sizes == sorted(set(sizes))
    assert divergences == sorted(set(divergences), reverse=True)


def test_front_goes_from_the_smallest_file_to_the_best(front, planner, source) -> None:
    smallest = planner.smallest()
    assert smallest is not None
    assert front.points[0].size_bytes == planner.sizes.base + smallest.bytes
    assert set(front.points[-1].layers.values()) == {"int8@static"}
    built = with_sizes(source, planner.plan(smallest.choices), 10**5).predicted_bytes
    assert built == pytest.approx(front.points[0].size_bytes, abs=300)


def test_each_point_is_the_optimum_of_its_size(front, planner) -> None:
    for point in front.points:
        best = planner.estimate(point.size_bytes)
        assert best is not None
        assert best.divergence == pytest.approx(point.divergence)


@pytest.mark.slow
def test_with_times_slower_is_better_too(timed) -> None:
    def beats(one, other) -> bool:
        return (
            one.size_bytes <= other.size_bytes
            and one.divergence <= other.divergence
            and one.milliseconds <= other.milliseconds
        )

    points = timed.points
    assert not any(beats(a, b) for a in points for b in points if a is not b)
    kernels = {layer.split("@")[1] for point in points for layer in point.layers.values()}
    assert kernels >= {"static", "float32"}
    assert max(p.milliseconds for p in points) > 2 * min(p.milliseconds for p in points)


def test_progress_ends_at_one(planner) -> None:
    shares: list[float] = []
    pareto_front(planner, budgets=3, progress=lambda _stage, share: shares.append(share))
    assert shares == sorted(shares)
    assert shares[-1] == pytest.approx(1.0)


class TestFiles:
    def test_json(self, front, tmp_path: Path) -> None:
        write_front(front, tmp_path / "front.json")
        document = json.loads((tmp_path / "front.json").read_text())
        assert document["schema"] == "quantkit.pareto/1"
        assert document["model_sha256"] == front.model_sha256
        assert [p["size_bytes"] for p in document["points"]] == [p.size_bytes for p in front.points]
        assert document["points"][0]["layers"] == front.points[0].layers

    def test_tables(self, timed, tmp_path: Path) -> None:
        write_front(timed, tmp_path / "front.tsv")
        header, first, *others = (tmp_path / "front.tsv").read_text().splitlines()
        assert header.split("\t")[:4] == ["bytes", "divergence", "ms", "layer1.conv"]
        assert int(first.split("\t")[0]) == timed.points[0].size_bytes
        assert len(others) == len(timed.points) - 1
        write_front(timed, tmp_path / "front.md")
        lines = (tmp_path / "front.md").read_text().splitlines()
        assert lines[1].startswith("| ---: | ---: | ---: |")
        assert len(lines) == len(timed.points) + 2

    @pytest.mark.slow
    @pytest.mark.parametrize(
        ("suffix", "start"), [("png", b"\x89PNG"), ("pdf", b"%PDF"), ("svg", b"<?xml")]
    )
    def test_plots(self, suffix, start, front, tmp_path: Path) -> None:
        path = tmp_path / f"front.{suffix}"
        write_front(front, path)
        content = path.read_bytes()
        assert content.startswith(start)
        write_front(front, path)
        assert path.read_bytes() == content

    def test_plot_with_a_line_for_each_latency(self, timed, tmp_path: Path) -> None:
        write_front(timed, tmp_path / "front.svg")
        drawn = (tmp_path / "front.svg").read_text()
        slowest = max(point.milliseconds for point in timed.points)
        assert f"at most {slowest:.1f} ms" in drawn
        assert "MB on disk" in drawn

    def test_other_forms_are_refused(self, front, tmp_path: Path) -> None:
        with pytest.raises(InputError, match=r"front\.xls: choose a name that ends in \.tsv"):
            write_front(front, tmp_path / "front.xls")
        require_front_form(Path("FRONT.PNG"))


@pytest.mark.parametrize("sizes", [(12, 19), (0.04, 0.075), (2.0, 2.1), (1.5, 22), (3, 3)])
def test_the_scale_of_sizes_has_marks_however_narrow_it_is(sizes) -> None:
    points = [FrontPoint(int(mb * 1e6), 1 / mb, None, {}) for mb in sizes]
    axes = front_figure(Front("ab" * 32, tuple(points))).axes[0]
    least, most = axes.get_xlim()
    assert sum(least <= tick <= most for tick in axes.get_xticks()) >= 3

"""The Python that the documentation shows does what it shows."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from tests.bundles.test_signing import write_keys

REPOSITORY = Path(__file__).resolve().parents[2]
PAGES = sorted([REPOSITORY / "README.md", *(REPOSITORY / "docs").glob("*.md")])

_BLOCK = re.compile(r"(?P<note><!-- not run: [^>]+ -->\n)?```python\n(?P<code>.*?)```", re.DOTALL)


def blocks(page: Path) -> list[tuple[int, str, bool]]:
    """Line, code and whether it can be run, of each block of a page."""
    text = page.read_text(encoding="utf-8")
    return [
        (text[: match.start("code")].count("\n"), match["code"], match["note"] is None)
        for match in _BLOCK.finditer(text)
    ]


SHOWN = [page for page in PAGES if blocks(page)]


@pytest.fixture(scope="module")
def shipped(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what the pages begin with: models, a corpus, and the results of a first run."""
    import quantkit

    folder = tmp_path_factory.mktemp("docs")
    models, corpus = REPOSITORY / "models", REPOSITORY / "calibration_data"
    (folder / "models").symlink_to(models)
    (folder / "calibration_data").symlink_to(corpus)
    (folder / "recordings").symlink_to(corpus)
    write_keys(folder, "key", ec.generate_private_key(ec.SECP256R1()))
    (folder / "LICENCE").symlink_to(models / "wav2letter-en" / "LICENCE")
    quantkit.export(models / "wav2letter-en", folder / "float32.onnx")
    quantkit.quantize(folder / "float32.onnx", folder / "static-int8.onnx", "static-int8", corpus)
    settings = quantkit.BenchSettings(
        decoding=quantkit.Decoding("greedy"),
        batch_sizes=(1,),
        threads=(1,),
        limit=4,
        sweep_utterances=0,
    )
    report = quantkit.bench(
        [folder / "float32.onnx", folder / "static-int8.onnx"],
        corpus,
        settings=settings,
        report=folder / "report",
    )
    quantkit.update_baseline(report, folder / "baseline.json")
    return folder


@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.stem)
def test_every_block_is_python(page: Path) -> None:
    for line, code, _ in blocks(page):
        compile("\n" * line + code, str(page), "exec")


@pytest.mark.slow
@pytest.mark.parametrize("page", SHOWN, ids=lambda page: page.stem)
def test_the_blocks_of_a_page_run_one_after_the_other(
    page: Path, shipped: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for each in shipped.iterdir():
        (tmp_path / each.name).symlink_to(each)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("QUANTKIT_CACHE", str(tmp_path / "cache"))
    # A result that is written again replaces the link, not what others begin with.
    for name in ("float32.onnx", "report"):
        (tmp_path / name).unlink()
    (tmp_path / "report").mkdir()
    (tmp_path / "report" / "bench.json").write_bytes((shipped / "report/bench.json").read_bytes())
    (tmp_path / "float32.onnx").write_bytes((shipped / "float32.onnx").read_bytes())
    names: dict[str, Any] = {"__name__": "__main__"}
    for line, code, can_run in blocks(page):
        if can_run:
            # Lines of a traceback are then those of the page.
            exec(compile("\n" * line + code, str(page), "exec"), names)

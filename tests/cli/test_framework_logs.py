"""What ``--verbose`` shows, and what ``--quiet`` leaves out."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import soundfile

from quantkit.audio.corpora import open_corpus
from quantkit.cli.framework.logs import logging_to_stderr
from quantkit.runtime.parallel import at_most_cores, cores
from quantkit.runtime.session import session_options
from quantkit.sensitivity.cache import AnalysisCache
from tests.cli.toy import call, refused

_LOG = logging.getLogger("quantkit.somewhere")


@pytest.mark.parametrize(
    ("verbosity", "shown"),
    [
        (-1, ["error"]),
        (0, ["error", "warning"]),
        (1, ["error", "warning", "info"]),
        (2, ["error", "warning", "info", "debug"]),
        (5, ["error", "warning", "info", "debug"]),
    ],
)
def test_each_v_shows_more_on_standard_error(
    verbosity: int, shown: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with logging_to_stderr(verbosity):
        for level in ("error", "warning", "info", "debug"):
            getattr(_LOG, level)("said")
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.count("quantkit.somewhere: said") == len(shown)


def test_afterwards_logging_is_as_before() -> None:
    logger = logging.getLogger("quantkit")
    before = (logger.level, list(logger.handlers))
    with logging_to_stderr(2):
        assert logger.level == logging.DEBUG
    assert (logger.level, list(logger.handlers)) == before


def test_verbose_and_quiet_exclude_each_other(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "give one of --verbose and --quiet" in refused("toy", "m", "-o", "a.onnx", "-v", "-q")


def test_quiet_leaves_out_remarks(tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    call("toy", "m", "-o", "a", "-q")
    assert capsys.readouterr().err == ""


def test_a_limit_of_cores_holds_for_sessions_and_for_workers() -> None:
    assert session_options(threads=0).intra_op_num_threads == 0
    with at_most_cores(1):
        assert cores() == 1
        assert session_options(threads=0).intra_op_num_threads == 1
        assert session_options(threads=4).intra_op_num_threads == 4
    assert session_options(threads=0).intra_op_num_threads == 0


def test_the_library_logs_which_clips_are_left_out(tmp_path, caplog) -> None:
    (tmp_path / "broken.wav").write_bytes(b"no audio")
    soundfile.write(tmp_path / "good.wav", np.zeros(1600), 16_000)
    with caplog.at_level(logging.INFO, "quantkit"):
        open_corpus(tmp_path)
    assert "1 clips in the layout plain" in caplog.text
    assert "left out: " in caplog.text
    assert "broken.wav" in caplog.text


def test_the_library_logs_what_comes_from_the_cache(tmp_path, caplog) -> None:
    cache = AnalysisCache(tmp_path, model_sha256="m")
    cache.put("layer1", {"kl": 1.0})
    with caplog.at_level(logging.DEBUG, "quantkit"):
        assert cache.get("layer1") == {"kl": 1.0}
        assert cache.get("layer2") is None
    assert [record.getMessage() for record in caplog.records] == ["layer1: found in the cache"]

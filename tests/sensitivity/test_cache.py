"""Parts of an analysis are found again, and only what is whole and meant is trusted."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from quantkit.sensitivity.cache import AnalysisCache, default_cache_folder

INGREDIENTS = {"model_sha256": "ab", "audio_sha256": "cd", "settings": {"bits": 4}}


def cache_in(folder: Path | None, **changes) -> AnalysisCache:
    return AnalysisCache(folder, **INGREDIENTS | changes)


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def test_part_is_found_by_whoever_asks_for_the_same(tmp_path) -> None:
    value = {"median": 0.1 + 0.2, "rows": [1, None, "ä"]}
    assert cache_in(tmp_path).get("layer/1:conv") is None
    cache_in(tmp_path).put("layer/1:conv", value)
    assert cache_in(tmp_path).get("layer/1:conv") == value
    assert cache_in(tmp_path).get("layer2") is None


@pytest.mark.parametrize(
    "change",
    [{"model_sha256": "x"}, {"audio_sha256": "x"}, {"settings": {"bits": 3}}],
    ids=lambda change: next(iter(change)),
)
def test_any_other_ingredient_is_another_analysis(change, tmp_path) -> None:
    cache_in(tmp_path).put("part", 1)
    assert cache_in(tmp_path, **change).get("part") is None


def test_new_version_of_the_algorithm_forgets_old_results(tmp_path, monkeypatch) -> None:
    cache_in(tmp_path).put("part", 1)
    monkeypatch.setattr("quantkit.sensitivity.cache.ANALYSIS_VERSION", 10_000)
    assert cache_in(tmp_path).get("part") is None


def test_narrower_cache_depends_on_further_settings(tmp_path) -> None:
    whole = cache_in(tmp_path)
    whole.within({"weighting": "spoken"}).put("part", 1)
    assert cache_in(tmp_path).within({"weighting": "spoken"}).get("part") == 1
    assert whole.within({"weighting": "uniform"}).get("part") is None
    assert whole.get("part") is None
    assert cache_in(tmp_path, model_sha256="x").within({"weighting": "spoken"}).get("part") is None


@pytest.mark.parametrize("damage", ["cut", "empty", "noise", "value", "other part", "folder"])
def test_damaged_part_counts_as_missing_and_is_mended(damage, tmp_path) -> None:
    cache = cache_in(tmp_path)
    cache.put("part", {"median": 1.25})
    (path,) = files(tmp_path)
    if damage == "cut":
        path.write_bytes(path.read_bytes()[:-30])
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "noise":
        path.write_bytes(os.urandom(100))
    elif damage == "value":
        path.write_text(path.read_text().replace("1.25", "1.75"))
    elif damage == "other part":
        path.write_text(path.read_text().replace('"part": "part"', '"part": "trap"'))
    else:
        path.unlink()
        path.mkdir()
    assert cache.get("part") is None
    if damage != "folder":
        cache.put("part", {"median": 2.5})
        assert cache_in(tmp_path).get("part") == {"median": 2.5}


def test_folder_that_cannot_be_written_is_mentioned_once(tmp_path) -> None:
    blocked = tmp_path / "file"
    blocked.write_text("no folder")
    said: list[str] = []
    cache = cache_in(blocked / "cache", notify=said.append)
    cache.put("one", 1)
    cache.within({"more": 1}).put("two", 2)
    assert cache.get("one") is None
    (message,) = said
    assert str(blocked) in message
    assert message.endswith("going on without a cache")


def test_no_folder_keeps_nothing() -> None:
    cache = cache_in(None)
    cache.put("part", 1)
    assert cache.get("part") is None


def test_process_killed_while_it_writes_leaves_whole_parts(tmp_path) -> None:
    script = (
        "import sys; from pathlib import Path\n"
        "from quantkit.sensitivity.cache import AnalysisCache\n"
        f"cache = AnalysisCache(Path(sys.argv[1]), **{INGREDIENTS!r})\n"
        "number = 0\n"
        "while True:\n"
        "    cache.put(str(number), list(range(20_000))); number += 1\n"
        "    print(number, flush=True)\n"
    )
    writer = subprocess.Popen(
        [sys.executable, "-c", script, tmp_path], stdout=subprocess.PIPE, text=True
    )
    assert writer.stdout is not None
    while int(writer.stdout.readline()) < 5:
        pass
    writer.send_signal(signal.SIGKILL)
    writer.wait()
    cache = cache_in(tmp_path)
    for number in range(5):
        assert cache.get(str(number)) == list(range(20_000))


def test_writers_at_the_same_time_leave_one_whole_part(tmp_path) -> None:
    def write() -> None:
        for _ in range(10):
            cache_in(tmp_path).put("part", list(range(5_000)))

    writers = [threading.Thread(target=write) for _ in range(4)]
    for writer in writers:
        writer.start()
    for writer in writers:
        writer.join()
    assert cache_in(tmp_path).get("part") == list(range(5_000))
    assert len(files(tmp_path)) == 1


def test_parts_can_be_read_by_people(tmp_path) -> None:
    cache_in(tmp_path).put("layer1.conv", {"median": 0.5})
    (path,) = files(tmp_path)
    document = json.loads(path.read_text())
    assert (document["part"], document["value"]) == ("layer1.conv", {"median": 0.5})


@pytest.mark.parametrize(
    ("platform", "variables", "folder"),
    [
        ("linux", {"QUANTKIT_CACHE": "/q", "XDG_CACHE_HOME": "/x"}, "/q"),
        ("linux", {"XDG_CACHE_HOME": "/x"}, "/x/quantkit"),
        ("linux", {"XDG_CACHE_HOME": "relative"}, "/home/ann/.cache/quantkit"),
        ("linux", {}, "/home/ann/.cache/quantkit"),
        ("darwin", {}, "/home/ann/Library/Caches/quantkit"),
        ("win32", {"LOCALAPPDATA": "/data"}, "/data/quantkit"),
    ],
)
def test_default_folder_is_the_platforms(platform, variables, folder, monkeypatch) -> None:
    for name in ("QUANTKIT_CACHE", "XDG_CACHE_HOME", "LOCALAPPDATA"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setattr(Path, "home", lambda: Path("/home/ann"))
    monkeypatch.setattr(sys, "platform", platform)
    assert default_cache_folder() == Path(folder)


def test_user_without_a_home_has_no_default_folder(monkeypatch) -> None:
    def homeless() -> Path:
        raise RuntimeError("no home")

    monkeypatch.delenv("QUANTKIT_CACHE", raising=False)
    monkeypatch.setattr(Path, "home", homeless)
    assert default_cache_folder() is None

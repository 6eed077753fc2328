"""Tasks are found by the name that artifacts have them under, and others can be added."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from quantkit import plugins
from quantkit.errors import InputError, ModelError
from quantkit.graph.info import ArtifactInfo
from quantkit.tasks import catalogue
from quantkit.tasks.catalogue import adoptable, register, task_named, task_of, tasks
from quantkit.tasks.ctc import CtcTask
from quantkit.tasks.names import CLASSIFICATION, CTC, WHISPER

PACKAGE = """
from quantkit.tasks.ctc import CtcTask

class Pinyin(CtcTask):
    name = "pinyin"
"""


@pytest.fixture
def known(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """What a test adds is forgotten after it."""
    monkeypatch.setattr(catalogue, "_tasks", dict(catalogue._tasks))
    plugins.forget()
    yield
    plugins.forget()


def test_each_task_is_found_by_its_name() -> None:
    for name in (CTC, CLASSIFICATION, WHISPER):
        assert task_named(name).name == name
        assert task_of(ArtifactInfo(task=name)) is task_named(name)
    assert [task.name for task in tasks()][:3] == [CTC, CLASSIFICATION, WHISPER]


def test_a_model_that_names_no_task_is_taken_for_a_ctc_model() -> None:
    assert task_of(ArtifactInfo()).name == CTC


def test_an_unknown_task_is_refused() -> None:
    with pytest.raises(InputError, match="no task 'translation'; known tasks: ctc, class"):
        task_named("translation")
    with pytest.raises(ModelError, match="a 'translation' model; known tasks: ctc"):
        task_of(ArtifactInfo(task="translation"))


def test_an_onnx_of_somebody_else_becomes_what_has_labels_or_classes() -> None:
    assert adoptable()[:2] == (CTC, CLASSIFICATION)
    assert WHISPER not in adoptable()


@pytest.mark.usefixtures("known")
def test_a_name_has_one_task() -> None:
    class Other(CtcTask):
        pass

    register(CtcTask())
    with pytest.raises(InputError, match="there is a task 'ctc' already"):
        register(Other())


@pytest.mark.usefixtures("known")
def test_an_installed_package_adds_a_task_by_an_entry_point(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "theirs_of_tasks.py").write_text(PACKAGE)
    info = tmp_path / "theirs-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: theirs\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[quantkit.tasks]\npinyin = theirs_of_tasks:Pinyin\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert task_named("pinyin").name == "pinyin"
    assert "pinyin" in adoptable()


@pytest.mark.usefixtures("known")
def test_a_package_that_does_not_load_is_named_in_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    info = tmp_path / "broken-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: broken\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[quantkit.tasks]\nbroken = not_there_at_all:Task\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    assert [task.name for task in tasks()][:3] == [CTC, CLASSIFICATION, WHISPER]
    with pytest.raises(InputError, match="there is no task 'broken'; known tasks: ctc"):
        task_named("broken")
    (warning,) = caplog.messages
    assert warning.startswith("task 'broken' of package broken cannot be loaded: ModuleNotFound")


@pytest.mark.usefixtures("known")
def test_a_task_under_another_name_than_its_own_is_ignored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    info = tmp_path / "odd-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: odd\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[quantkit.tasks]\nodd = quantkit.tasks.ctc:CtcTask\n")
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    with pytest.raises(InputError, match="there is no task 'odd'"):
        task_named("odd")
    assert "task 'odd' of package odd fails: InputError: it calls itself 'ctc'" in caplog.text

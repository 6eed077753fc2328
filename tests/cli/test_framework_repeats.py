"""An option is a list, or is given once."""

from __future__ import annotations

import pytest

from tests.cli.toy import call, refused

_USUAL = ("toy", "model.onnx", "-o", "small.onnx")


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("arguments", "option"),
    [
        (("--budget", "1MB", "--budget", "1MB"), "--budget"),
        (("--output", "other.onnx"), "--output"),
        (("--verify", "--no-verify"), "--verify/--no-verify"),
        (("--json", "--json"), "--json"),
        (("--config", "a.toml", "--config", "b.toml"), "--config"),
    ],
)
def test_a_second_value_is_refused_by_name(arguments, option) -> None:
    assert refused(*_USUAL, *arguments) == f"{option} is given 2 times, and takes one value"


def test_options_that_are_lists_take_several_values() -> None:
    assert call(*_USUAL, "--speaker", "ann", "--speaker", "bob")["speaker"] == ("ann", "bob")


def test_verbose_may_be_said_twice() -> None:
    call(*_USUAL, "-v", "--verbose")

"""``--help`` at the widths of real terminals."""

from __future__ import annotations

import click
import pytest
from click.testing import CliRunner

from quantkit.cli import group
from tests.cli.toy import toys

_COMMANDS = group.list_commands(click.Context(group))


def help_of(*command: str, width: int = 80) -> str:
    root = toys if command[0] == "toy" else group
    result = CliRunner().invoke(root, [*command, "--help"], terminal_width=width)
    assert result.exit_code == 0
    return result.output


def section(text: str, title: str) -> str:
    return text.split(f"\n{title}:\n")[1].split("\n\n")[0]


def test_what_is_required_comes_first_and_stands_in_the_usage() -> None:
    text = help_of("toy")
    assert text.startswith("Usage: toys toy MODEL -o PATH [OPTIONS]")
    assert "MODEL" in section(text, "Required")
    assert "--output" in section(text, "Required")
    assert "[required]" not in text
    assert "What is read." in text


def test_options_that_most_people_need_stand_before_the_others() -> None:
    text = help_of("toy")
    shown = section(text, "Options")
    assert shown.index("--budget") < shown.index("--preset")
    assert "--rounds" not in shown
    assert "--rounds" in section(text, "More options")
    assert "--config" in section(text, "General options")


def test_a_long_example_goes_on_in_the_next_line() -> None:
    lines = help_of("toy", width=60).splitlines()
    begin = next(i for i, line in enumerate(lines) if "quantkit toy" in line)
    assert lines[begin] == "    quantkit toy a-model-of-some-name.onnx --preset small \\"
    assert lines[begin + 1] == "      --budget 3MB -o a-result.onnx --json"


@pytest.mark.parametrize("command", _COMMANDS)
def test_every_help_fits_80_columns_and_names_what_is_required(command: str) -> None:
    text = help_of(command)
    assert max(map(len, text.splitlines())) <= 80
    assert "\nRequired:\n" in text
    assert "RANGE" not in text
    assert text.index("Example:") < text.index("\nRequired:\n") < text.index("--help")


def test_of_options_that_exclude_each_other_one_is_required() -> None:
    assert "--plan | --preset | --compute" in section(help_of("quantize"), "Required")

"""Settings from a file, and a file of the settings."""

from __future__ import annotations

import tomllib
from pathlib import Path

import click
import pytest

from quantkit.cli import group
from quantkit.cli.framework.toml import toml_value
from quantkit.errors import InputError
from tests.cli.toy import call, output_of, refused


@pytest.fixture(autouse=True)
def _in_a_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def settings(text: str) -> Path:
    Path("quantkit.toml").write_text(text)
    return Path("quantkit.toml")


def test_options_come_from_the_table_of_the_command() -> None:
    file = settings(
        '[toy]\noutput = "small.onnx"\nrounds = 5\nspeaker = ["ann", "bob"]\nshare = 1\n'
        "verify = false\nsizes = [2, 4]\njson = true\n"
    )
    params = call("toy", "model.onnx", "--config", file)
    assert params["output"] == Path("small.onnx")
    assert (params["rounds"], params["share"], params["sizes"]) == (5, 1.0, (2, 4))
    assert (params["speaker"], params["verify"], params["as_json"]) == (("ann", "bob"), False, True)


def test_the_command_line_wins() -> None:
    file = settings('[toy]\nrounds = 5\nspeaker = ["ann"]\n')
    params = call("toy", "m", "-o", "a.onnx", "--config", file, "--rounds", "1", "--speaker", "x")
    assert (params["rounds"], params["speaker"]) == (1, ("x",))


def test_an_option_takes_the_place_of_its_alternatives_in_the_file() -> None:
    file = settings('[toy]\npreset = "large"\n')
    assert call("toy", "m", "-o", "a.onnx", "--config", file)["preset"] == "large"
    params = call("toy", "m", "-o", "a.onnx", "--config", file, "--compute", "static")
    assert (params["preset"], params["compute"]) == ("small", "static")


def test_one_value_of_a_list_may_stand_alone() -> None:
    file = settings('[toy]\nspeaker = "ann"\n')
    assert call("toy", "m", "-o", "a.onnx", "--config", file)["speaker"] == ("ann",)


def test_a_file_counts_only_when_it_is_named() -> None:
    settings("[toy]\nrounds = 5\n")
    assert call("toy", "m", "-o", "a.onnx")["rounds"] == 3


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("[toy]\nround = 5\n", "round in [toy] is no option of the command; did you mean rounds?"),
        ("[toy]\nconfig = 'x'\n", "config in [toy] is no option of the command"),
        ('[toy]\nbudget = "a\\u0000b"\n', "budget in [toy] holds a NUL"),
        ("[toys]\nrounds = 5\n", "toys is no command; did you mean toy?"),
        ("toy = 5\n", "toy is a command; write its options below [toy]"),
        ("[toy]\nrounds = '5'\n", 'rounds in [toy] takes a number, not "5"'),
        ("[toy]\nrounds = true\n", "rounds in [toy] takes one value, not true"),
        ("[toy]\nbudget = 5\n", "budget in [toy] takes text in quotes, not 5"),
        ("[toy]\nbudget = ['a']\n", 'budget in [toy] takes one value, not ["a"]'),
        ("[toy]\njson = 'yes'\n", 'json in [toy] takes true or false, not "yes"'),
        ("[toy]\nrounds = -1\n", "-1 is not in the range"),
        ("[toy]\npreset = 'huge'\n", "'huge' is not one of"),
        ("[toy\n", "quantkit.toml is not TOML"),
        ("a = " + "9" * 5000, "quantkit.toml is not TOML"),
        ("a = " + "[" * 5000, "nested too deeply"),
    ],
)
def test_what_is_wrong_is_named(text: str, message: str) -> None:
    assert message in refused("toy", "m", "-o", "a.onnx", "--config", settings(text))


def test_a_file_that_is_not_there_is_named() -> None:
    assert "cannot read none.toml" in refused("toy", "m", "-o", "a.onnx", "--config", "none.toml")


def test_what_is_dumped_gives_the_same_settings_again(capsys: pytest.CaptureFixture[str]) -> None:
    given = ("--speaker", 'a "b"\\', "--speaker", "ü", "--no-verify", "--share", "0.1", "--sizes")
    given = (*given, "4,2", "--front", "f.tsv", "-o", "small", "--threads", "2")
    text = output_of("toy", "m", *given, "--dump-config", capsys=capsys)
    once = call("toy", "m", *given)
    again = call("toy", "m", "--config", settings(text))
    assert again == once
    assert output_of("toy", "--config", settings(text), "--dump-config", capsys=capsys) == text


def test_a_dump_needs_nothing_and_shows_every_option(capsys: pytest.CaptureFixture[str]) -> None:
    text = output_of("toy", "--dump-config", capsys=capsys)
    table = tomllib.loads(text)["toy"]
    assert (table["rounds"], table["preset"], table["json"]) == (3, "small", False)
    for name in ("output", "plan", "budget", "speaker", "verify"):
        assert f"\n# {name} = " in text
        assert name not in table


@pytest.mark.parametrize("name", group.list_commands(click.Context(group)))
def test_every_command_dumps_settings_that_it_reads_again(
    name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    def dump(*arguments: object) -> str:
        assert group.main([name, *map(str, arguments), "--dump-config"], standalone_mode=False) == 0
        return capsys.readouterr().out

    text = dump()
    assert list(tomllib.loads(text)) == [name]
    assert dump("--config", settings(text)) == text


def test_a_dump_refuses_what_the_command_refuses() -> None:
    assert "-1 is not in the range" in refused("toy", "--rounds", "-1", "--dump-config")


@pytest.mark.parametrize(
    "value",
    [True, 0, -3, 1e-9, 2.5, 1e300, float("inf"), "", 'q"\\\n\t\x00\x7fü€', ("a", "b"), (1, 2), ()],
)
def test_values_are_read_back_as_they_are(value: object) -> None:
    read = tomllib.loads(f"x = {toml_value(value)}")["x"]
    assert read == (list(value) if isinstance(value, tuple) else value)
    assert type(read) is (list if isinstance(value, tuple) else type(value))


def test_a_name_that_is_no_text_is_refused() -> None:
    with pytest.raises(InputError, match="is no text"):
        toml_value(Path("caf\udce9"))

"""What a shell is told when Tab is pressed."""

from __future__ import annotations

import pytest

from quantkit.cli import main


def completions(
    words: str, position: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> list[str]:
    monkeypatch.setenv("_QUANTKIT_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", words)
    monkeypatch.setenv("COMP_CWORD", str(position))
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    return [line.partition(",")[2] for line in capsys.readouterr().out.splitlines()]


def test_commands(monkeypatch, capsys) -> None:
    assert completions("quantkit p", 1, monkeypatch, capsys) == [
        "plan",
        "personalize",
        "push",
        "pull",
    ]


def test_options(monkeypatch, capsys) -> None:
    found = completions("quantkit quantize m.onnx --pr", 3, monkeypatch, capsys)
    assert found == ["--preset"]


def test_values(monkeypatch, capsys) -> None:
    found = completions("quantkit quantize m.onnx --preset st", 4, monkeypatch, capsys)
    assert found == ["static-int8"]


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_every_shell_has_a_script(shell, monkeypatch, capsys) -> None:
    monkeypatch.setattr("click.shell_completion.BashComplete._check_version", lambda *_: None)
    monkeypatch.setenv("_QUANTKIT_COMPLETE", f"{shell}_source")
    with pytest.raises(SystemExit) as ended:
        main([])
    assert ended.value.code == 0
    assert "_QUANTKIT_COMPLETE" in capsys.readouterr().out

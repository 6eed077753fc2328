"""``quantkit push`` and ``quantkit pull`` from a shell's point of view."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.cli.shell import run
from tests.hub_server import Hub
from tests.publishing.test_push import contents


def test_push_then_pull(
    hub: Hub, signed: Path, public: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--endpoint", hub.url)
    assert run("push", signed, "hf://tester/tiny@v1", *options) == 0
    commit = hub.repositories["tester/tiny"].branches["v1"]
    said = capsys.readouterr().out
    assert commit in said
    assert f"{hub.url}/tester/tiny/commit/{commit}" in said

    out = tmp_path / "out"
    arguments = ("pull", "hf://tester/tiny@v1", "-o", out, "--public-key", public, *options)
    assert run(*arguments) == 0
    said = capsys.readouterr().out
    assert f"{len(contents(signed))} files as shipped, commit {commit}" in said
    assert "signed with the key of" in said
    assert contents(out) == contents(signed)
    assert run(*arguments, "--force", "--json") == 0
    assert json.loads(capsys.readouterr().out)["commit"] == commit


def test_a_dry_run_asks_nothing(
    hub: Hub, signed: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--endpoint", hub.url, "--dry-run")
    assert run("push", signed, "hf://tester/tiny", *options) == 0
    assert (
        f"push {len(contents(signed))} files of {signed} to hf://tester/tiny at {hub.url}"
        in capsys.readouterr().out
    )
    assert run("pull", "hf://tester/tiny", "-o", tmp_path / "out", *options) == 0
    assert f"would write  {tmp_path / 'out'}" in capsys.readouterr().out
    assert hub.asked == []
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("pull", "acme/tiny", "-o", "{out}"), "is no address on the hub"),
        (("pull", "hf://tester/none", "-o", "{out}"), "there is no tester/none at"),
        (("pull", "hf://a/b", "-o", "{out}", "--public-key", "{out}"), "cannot read the key"),
        (("push", "{out}", "hf://tester/tiny"), "is no folder"),
        (("push", "{bundle}", "hf://google/tiny"), "refuses (HTTP 403)"),
    ],
)  # fmt: skip
def test_bad_input_is_one_line_and_exit_code_2(
    hub: Hub,
    bundle: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    arguments: tuple[str, ...],
    reason: str,
) -> None:
    named = [each.format(out=tmp_path / "out", bundle=bundle) for each in arguments]
    assert run(*named, "--endpoint", hub.url) == 2
    said = capsys.readouterr().err
    assert reason in said
    assert said.count("\n") == 1
    assert not (tmp_path / "out").exists()


def test_a_change_on_the_way_is_exit_code_1(
    hub: Hub, bundle: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run("push", bundle, "hf://tester/tiny", "--endpoint", hub.url)
    hub.change.add("CARD.md")
    capsys.readouterr()
    out = tmp_path / "out"
    assert run("pull", "hf://tester/tiny", "-o", out, "--endpoint", hub.url) == 1
    captured = capsys.readouterr()
    assert captured.err.count("\n") == 1
    assert "hf://tester/tiny is not as it was shipped: CARD.md" in captured.err
    assert not out.exists()

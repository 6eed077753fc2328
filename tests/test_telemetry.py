"""What libraries would record is switched off, and no command reaches for the network."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from quantkit.bundles.example import example_source
from quantkit.runtime.load_memory import LoadMemory
from quantkit.telemetry import SWITCHES, switch_off_telemetry
from quantkit.text.labels import Labels
from tests.api.small import write_corpus, write_model

# Runs command lines one after another, and prints what of sockets any of them asked for.
_WATCHED = """
import json, sys
asked = []
sys.addaudithook(lambda event, _: event.startswith("socket.") and asked.append(event))
from quantkit.cli import main
for arguments in json.loads(sys.argv[1]):
    try:
        main(arguments)
    except SystemExit as ended:
        assert ended.code in (0, 1), (arguments, ended.code)
print("asked for", sorted(set(asked)))
"""

_STRACE = ("strace", "-f", "-qq", "-e", "trace=connect,sendto,sendmsg,sendmmsg", "-o")


class TestSwitches:
    def test_what_is_not_set_is_set(self) -> None:
        environment = {"ORT_DISABLE_TELEMETRY": "", "HOME": "/home/x"}
        switch_off_telemetry(environment)
        assert environment == {"HOME": "/home/x", **SWITCHES}

    def test_what_the_user_set_stays(self) -> None:
        environment = {"ORT_DISABLE_TELEMETRY": "0"}
        switch_off_telemetry(environment)
        assert environment["ORT_DISABLE_TELEMETRY"] == "0"

    def test_it_comes_before_onnx_runtime(self) -> None:
        # The switch is read when that is imported.
        code = (
            "import os, sys, quantkit; assert 'onnxruntime' not in sys.modules; "
            "print(os.environ['ORT_DISABLE_TELEMETRY'])"
        )
        environment = {k: v for k, v in os.environ.items() if k not in SWITCHES}
        done = subprocess.run(
            [sys.executable, "-c", code],
            env=environment,
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == "1"

    def test_the_example_of_a_bundle_has_it_too(self) -> None:
        switch, runtime = "ORT_DISABLE_TELEMETRY", "import onnxruntime"
        source = example_source(LoadMemory(1, 1), Labels.english())
        assert 0 < source.index(switch) < source.index(runtime)


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """A folder with a model and a corpus."""
    write_model(tmp_path)
    write_corpus(tmp_path / "corpus", {"calibration": 2, "test": 2})
    (tmp_path / "LICENCE").write_text("free")
    return tmp_path


def environment_of(place: Path) -> dict[str, str]:
    kept = {k: v for k, v in os.environ.items() if k not in SWITCHES}
    homes = {"HOME": place / "home", "XDG_CACHE_HOME": place / "home" / ".cache"}
    return {
        **kept,
        **{name: str(folder) for name, folder in homes.items()},
        "QUANTKIT_CACHE": str(place / "cache"),
    }


COMMANDS = [
    "quantize float32.onnx --preset static-int8 --audio corpus -o int8.onnx",
    "inspect int8.onnx --runtime",
    "analyze float32.onnx --audio corpus -o table.json",
    "plan float32.onnx --sensitivity table.json --budget 40kB -o plan.json",
    "personalize float32.onnx --audio corpus --budget 40kB --rounds 1 --report a.html -o a.onnx",
    "transcribe int8.onnx corpus/00.wav",
    "bench float32.onnx int8.onnx --data corpus --split test --report report",
    "gate report/bench.json --baseline baseline.json --update",
    "ship int8.onnx -o bundle",
    "verify bundle",
    "verify int8.onnx",
]


@pytest.mark.slow
def test_no_command_asks_for_a_socket_or_writes_what_others_left_to_the_user(place: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-c", _WATCHED, json.dumps([line.split() for line in COMMANDS])],
        cwd=place,
        env=environment_of(place),
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.splitlines()[-1] == "asked for []"
    # matplotlib keeps its list of fonts there.
    written = {
        path.relative_to(place / "home").parts[1]
        for path in (place / "home").rglob("*")
        if path.is_file()
    }
    assert written <= {"matplotlib", "fontconfig"}


@pytest.mark.slow
@pytest.mark.skipif(shutil.which("strace") is None, reason="needs strace")
def test_not_even_native_code_or_a_process_of_ours_opens_a_connection(place: Path) -> None:
    trace = place / "trace"
    for line in (COMMANDS[0], COMMANDS[6]):
        done = subprocess.run(
            [*_STRACE, str(trace), sys.executable, "-m", "quantkit", *line.split()],
            cwd=place,
            env=environment_of(place),
            capture_output=True,
            text=True,
            check=False,
        )
        if "PTRACE" in done.stderr:
            pytest.skip("strace may not trace here")
        assert done.returncode == 0, done.stderr
        # AF_UNIX is how the C library asks this host for users' names. A socket that is connected
        # to nothing is how libuuid asks for the address of a card.
        assert [call for call in trace.read_text().splitlines() if "AF_INET" in call] == []

"""``quantkit quantize`` and ``quantkit inspect`` from a shell's point of view."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

torch = pytest.importorskip("torch")

from quantkit.audio.frontend import Frontend  # noqa: E402
from quantkit.exporting.to_onnx import export_wav2letter  # noqa: E402
from quantkit.graph.artifact import read_info  # noqa: E402
from quantkit.models.wav2letter import Wav2Letter, Wav2LetterConfig  # noqa: E402
from quantkit.quantization.choices.presets import PRESETS  # noqa: E402
from quantkit.text.labels import Labels  # noqa: E402
from tests.api.small import write_model  # noqa: E402
from tests.cli.shell import run  # noqa: E402


@pytest.fixture(scope="module")
def exported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("models") / "float32.onnx"
    torch.manual_seed(0)
    model = Wav2Letter(Wav2LetterConfig(labels=29, width=16, head_width=16)).eval()
    export_wav2letter(model, Labels.english(), Frontend(), path)
    return path


@pytest.fixture
def source(exported: Path, tmp_path: Path) -> Path:
    return Path(shutil.copy(exported, tmp_path / "float32.onnx"))


@pytest.fixture(scope="module")
def audio(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("audio")
    random = np.random.default_rng(0)
    for i, seconds in enumerate((0.5, 1.0, 0.8)):
        noise = random.uniform(-0.3, 0.3, int(16_000 * seconds))
        # Its level changes, as that of speech does.
        noise *= np.linspace(0.2, 1.0, noise.size)
        soundfile.write(folder / f"{i}.wav", noise, 16_000)
    return folder


@pytest.mark.slow
def test_one_preset(source: Path, audio: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "out" / "q.onnx"
    assert run("quantize", source, "--preset", "static-int8", "--audio", audio, "-o", output) == 0
    assert "11 of 11 layers run in int8" in capsys.readouterr().out
    assert read_info(output).plan["method"] == "static-int8"


@pytest.mark.parametrize(
    ("options", "target", "sentence"),
    [
        ((), "any", "exact on x86 with and without VNNI and on 64-bit ARM"),
        (("--target-cpu", "vnni"), "vnni", "may overflow in 11 of 11 integer layers"),
    ],
)
def test_the_processors_that_a_file_is_for(
    options, target, sentence, source: Path, tmp_path: Path, capsys
) -> None:
    output = tmp_path / "q.onnx"
    assert run("quantize", source, "--preset", "dynamic-int8", *options, "-o", output) == 0
    capsys.readouterr()
    assert run("inspect", output) == 0
    last = capsys.readouterr().out.splitlines()[-1]
    assert last.startswith(f"  --target-cpu {target}: ")
    assert sentence in last
    assert run("verify", output) == 0
    assert sentence in capsys.readouterr().out


def test_a_plan_says_all_that_the_command_does_not(
    source: Path, audio: Path, tmp_path: Path
) -> None:
    plan, output = tmp_path / "plan.json", tmp_path / "q.onnx"
    said = ["--method", "manual", "--compute", "dynamic", "--codec", "bitplane:4"]
    said += ["--rounding", "nearest", "--no-bias-correction", "--target-cpu", "any"]
    assert run("plan", source, *said, "-o", plan) == 0
    made = ["--plan", plan, "--audio", audio, "--target-cpu", "vnni", "-o", output]
    assert run("quantize", source, *made) == 0
    before, after = (each["fitting"] for each in (read_json(plan), read_info(output).plan))
    assert before.pop("target_cpu") == "any"
    # What is for VNNI does not say so.
    assert after == before
    assert (after["rounding"], after["bias_correction"]) == ("nearest", False)
    assert run("plan", source, "--from", plan, "--smoothing", "0.5", "-o", tmp_path / "p.json") == 0
    assert read_json(tmp_path / "p.json")["fitting"] == {
        **before,
        "target_cpu": "any",
        "smoothing": 0.5,
    }


def read_json(path: Path) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return found


@pytest.mark.slow
def test_all_presets_beside_the_source(source: Path, audio: Path, capsys) -> None:
    before = source.read_bytes()
    assert (
        run("quantize", source, "--preset", "all", "--audio", audio, "-o", source.parent, "--json")
        == 0
    )
    results = json.loads(capsys.readouterr().out)
    assert [result["method"] for result in results] == list(PRESETS)
    assert all(Path(result["path"]).stat().st_size == result["size_bytes"] for result in results)
    assert source.read_bytes() == before


def test_all_presets_are_no_single_file(source: Path, audio: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "all.onnx"
    assert run("quantize", source, "--preset", "all", "--audio", audio, "-o", output) == 2
    assert "all.onnx has the name of one; name a folder" in capsys.readouterr().err
    assert not output.exists()


def test_own_settings(source: Path, audio: Path, tmp_path: Path, capsys) -> None:
    arguments = ["quantize", source, "--compute", "static", "--exclude", "1", "--exclude", "-1"]
    arguments += ["--audio", audio, "--range", "percentile", "--percentile", "99.9", "--clips", "2"]
    assert run(*arguments, "-o", tmp_path / "q.onnx", "--json") == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert [layer["status"] for layer in layers] == ["float32"] + ["int8"] * 9 + ["float32"]
    assert layers[1]["range"] == "percentile 99.9"


@pytest.mark.slow
def test_layers_of_lower_rank_are_asked_for_and_shown(audio: Path, tmp_path: Path, capsys) -> None:
    source, output = tmp_path / "wide.onnx", tmp_path / "split.onnx"
    model = Wav2Letter(Wav2LetterConfig(labels=29, width=64, head_width=64)).eval()
    export_wav2letter(model, Labels.english(), Frontend(), source)
    arguments = ["quantize", source, "--compute", "static", "--rank", "layer[2-4].conv=1/4"]
    arguments += ["--rank", "layer9.conv=32:24", "-o", output]
    assert run(*arguments) == 2
    assert "the rank of layer layer2.conv needs clips" in capsys.readouterr().err
    assert run(*arguments, "--audio", audio) == 0
    assert "16 of 16 layers run in int8" in capsys.readouterr().out
    assert run("inspect", output) == 0
    shown = capsys.readouterr().out
    assert "layer9.conv.first" in shown
    assert "layer2.conv (16), layer3.conv (16), layer4.conv (16), layer9.conv (32 → 24)" in shown
    assert run("inspect", output, "--json") == 0
    ranks = json.loads(capsys.readouterr().out)["structure"]
    assert ranks["layer9.conv"] == {"rank": 24, "input_rank": 32}


@pytest.mark.slow
def test_fewer_channels_are_asked_for_and_shown(audio: Path, tmp_path: Path, capsys) -> None:
    source, output = tmp_path / "wide.onnx", tmp_path / "fewer.onnx"
    model = Wav2Letter(Wav2LetterConfig(labels=29, width=64, head_width=64)).eval()
    export_wav2letter(model, Labels.english(), Frontend(), source)
    arguments = ["quantize", source, "--compute", "static", "--channels", "layer[2-4].conv=3/4"]
    arguments += ["-o", output]
    assert run(*arguments) == 2
    assert "number of channels of layer layer2.conv needs clips" in capsys.readouterr().err
    assert run(*arguments, "--audio", audio) == 0
    capsys.readouterr()
    assert run("inspect", output) == 0
    shown = capsys.readouterr().out
    assert "with so many of their channels: layer2.conv (48), layer3.conv (48)" in shown
    assert run("inspect", output, "--json") == 0
    assert json.loads(capsys.readouterr().out)["structure"]["layer4.conv"] == {"channels": 48}


def test_channels_that_are_none_or_all_exit_with_2(
    source: Path, audio: Path, tmp_path: Path, capsys
) -> None:
    for rule, message in (("layer2.conv", "is not PATTERN=CHANNELS"), ("-1=8", "leaves nothing")):
        arguments = ["--compute", "static", "--channels", rule, "--audio", audio]
        assert run("quantize", source, *arguments, "-o", tmp_path / "q.onnx") == 2
        assert message in capsys.readouterr().err


def test_ranks_that_are_none_or_save_nothing_exit_with_2(
    source: Path, audio: Path, tmp_path: Path, capsys
) -> None:
    for rank, message in (("layer2.conv", "is not PATTERN="), ("Conv=8", "saves nothing")):
        arguments = ["--compute", "static", "--rank", rank, "--audio", audio]
        assert run("quantize", source, *arguments, "-o", tmp_path / "q.onnx") == 2
        assert message in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.parametrize("method", ["entropy", "cosine", "hessian"])
def test_searched_ranges(method: str, source: Path, audio: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "q.onnx"
    arguments = ["quantize", source, "--compute", "static", "--codec", "bitplane:4"]
    arguments += ["--range", method, "--weight-range", "hessian", "--audio", audio, "-o", output]
    assert run(*arguments, "--json") == 0
    layers = json.loads(capsys.readouterr().out)["layers"]
    assert {layer["range"] for layer in layers} == {method}
    assert read_info(output).plan["fitting"]["weight_range"] == "hessian"


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--preset", "static-int8"], "needs calibration clips"),
        (["--preset", "int8", "--exclude", "layer99"], "pattern 'layer99' matches no layer"),
        (["--preset", "static-int8", "--audio", "EMPTY"], "EMPTY"),
        (["--preset", "static-int8", "--audio", "MISSING"], "MISSING"),
    ],
)
def test_bad_input_is_one_line_and_exit_code_2(
    arguments, message, source: Path, tmp_path: Path, capsys
) -> None:
    (tmp_path / "EMPTY").mkdir()
    arguments = [str(tmp_path / a) if a in ("EMPTY", "MISSING") else a for a in arguments]
    assert run("quantize", source, *arguments, "-o", tmp_path / "q.onnx") == 2
    error = capsys.readouterr().err
    assert error.startswith("quantkit: ")
    assert error.count("\n") == 1
    assert message in error
    assert not (tmp_path / "q.onnx").exists()


@pytest.mark.parametrize("content", [None, b"", b"not a model"])
@pytest.mark.parametrize("name", ["quantize", "inspect"])
def test_file_that_is_no_model(content, name, tmp_path: Path, capsys) -> None:
    path = tmp_path / "x.onnx"
    if content is not None:
        path.write_bytes(content)
    more = ["--preset", "int8", "-o", tmp_path / "q.onnx"] if name == "quantize" else []
    assert run(name, path, *more) == 2
    error = capsys.readouterr().err
    assert error.startswith("quantkit: ")
    assert "x.onnx" in error
    assert error.count("\n") == 1


@pytest.mark.parametrize(
    "arguments",
    [
        ["--preset", "int7"],
        [],
        ["--preset", "int8", "--compute", "static"],
        ["--preset", "int8", "--percentile", "50"],
    ],
)
def test_wrong_usage_exits_2(arguments, source: Path, tmp_path: Path, capsys) -> None:
    assert run("quantize", source, *arguments, "-o", tmp_path / "q.onnx") == 2
    complaint = capsys.readouterr().err
    assert complaint.endswith("; see `quantkit quantize --help`\n")
    assert complaint.count("\n") == 1


def test_inspect_shows_a_table_and_the_sum(source: Path, tmp_path: Path, capsys) -> None:
    output = tmp_path / "q.onnx"
    run("quantize", source, "--preset", "semi-int8", "-o", output)
    capsys.readouterr()
    assert run("inspect", output, "--runtime") == 0
    shown = capsys.readouterr().out
    assert "layer11.conv" in shown
    assert "MatMulIntegerToFloat" in shown
    assert f"on disk {output.stat().st_size:,} bytes" in shown
    assert run("inspect", output, "--json") == 0
    content = json.loads(capsys.readouterr().out)
    assert content["layer_bytes"] == sum(layer["bytes"] for layer in content["layers"])
    assert content["layers"][0]["codec"] == "float32"
    assert content["layers"][1]["compute"] == "dynamic"


@pytest.mark.parametrize("name", ["quantize", "inspect"])
def test_help_shows_an_example(name: str, capsys) -> None:
    assert run(name, "--help") == 0
    assert f"Example:\n    quantkit {name} " in capsys.readouterr().out


@pytest.mark.slow
def test_calibration_hears_only_the_chosen_speaker_and_part(
    source: Path, audio: Path, tmp_path: Path, capsys
) -> None:
    rows = ["path\tsplit\tspeaker\tgender\tlanguage\tseconds\ttext"]
    for i, (split, speaker) in enumerate((("calibration", "ann"), ("test", "ann"), ("test", "bo"))):
        shutil.copy(audio / f"{i}.wav", tmp_path / f"{i}.wav")
        rows.append(f"{i}.wav\t{split}\t{speaker}\tf\ten\t1.0\ta")
    # Were it opened, it would be named as left out.
    (tmp_path / "2.wav").write_bytes(b"noise")
    (tmp_path / "manifest.tsv").write_text("\n".join(rows) + "\n")
    common = ("quantize", source, "--preset", "static-int8", "--audio", tmp_path)
    assert run(*common, "-o", tmp_path / "a.onnx") == 0
    assert "left out" not in capsys.readouterr().err
    assert run(*common, "--split", "all", "-o", tmp_path / "b.onnx") == 0
    assert "left out 1" in capsys.readouterr().err
    assert run(*common, "--split", "test", "--speaker", "ann", "-o", tmp_path / "c.onnx") == 0
    assert "left out" not in capsys.readouterr().err
    assert run(*common, "--speaker", "eva", "-o", tmp_path / "d.onnx") == 2
    assert "speaker=eva" in capsys.readouterr().err


def test_a_file_that_grew_is_not_called_smaller(tmp_path: Path, capsys) -> None:
    source, output = write_model(tmp_path), tmp_path / "same.onnx"
    assert run("quantize", source, "--preset", "float32", "-o", output) == 0
    grown = output.stat().st_size / source.stat().st_size
    assert grown > 1
    assert f"({grown:.2f} times larger)" in capsys.readouterr().out

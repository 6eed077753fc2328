"""Forms of a long convolution on integers, and what the fewer bits of the fastest cost.

Run it from the repository after ``make export``, with nothing else running: ``python -m
benchmarks.long_convolutions --data FOLDER``, with ``librispeech/`` in the folder. It takes about
ten minutes and renews its section of RESULTS.md. With the extra ``peers`` OpenVINO and NNCF take
part.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import click
import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper

from benchmarks import openvino_peer
from benchmarks.full_width import FEWER_BITS, FRAMES, QUICKLY, ninth_layer_of, write_float
from benchmarks.low_rank import SOURCE
from benchmarks.results import host, replace_section, table
from benchmarks.shipped_model import score
from quantkit.audio.corpora import open_corpus
from quantkit.audio.utterance import Corpus
from quantkit.calibration.data import CalibrationData
from quantkit.graph.artifact import read_info, total_size
from quantkit.graph.editor import GraphEditor
from quantkit.graph.opset import import_contributed
from quantkit.models.wav2letter import Wav2LetterConfig
from quantkit.quantization import quantize_model
from quantkit.quantization.choices.presets import preset
from quantkit.quantization.choices.ptq import PtqSettings
from quantkit.quantization.choices.settings import LayerRule
from quantkit.quantization.choices.target_cpu import TargetCpu
from quantkit.quantization.kernels.emitter import Emitter
from quantkit.quantization.kernels.fast_fir import Operands, fast_filter
from quantkit.runtime.interleaved import Effort, interleaved_seconds
from quantkit.runtime.session import create_session, session_options
from quantkit.sensitivity.model_divergence import model_divergence

#: Channels in and out, and taps: of the full-width Wav2Letter's ninth layer, of the shipped one's,
#: of that one at a low rank, and others between.
SHAPES = ((250, 2000, 32), (192, 1024, 32), (512, 1024, 16), (192, 512, 32), (120, 192, 32))
FORMS = ("QLinearConv", "unfolded product", "fast FIR, 3/4", "fast FIR, 9/16")
BITS = (8, *FEWER_BITS)
_FRAMES, _CLIPS, _ROUNDS = 500, 32, 40


def form(name: str, shape: tuple[int, int, int]) -> onnx.ModelProto:
    """From uint8 (1, frames, channels) to uint8, as between two convolutions of a model."""
    channels, outputs, taps = shape
    random = np.random.default_rng(0)
    levels = random.integers(-31, 32, (outputs, channels, taps)).astype(np.int8)
    scales = np.full(outputs, 0.01, np.float32)
    graph = helper.make_graph(
        [
            helper.make_node("Identity", ["x"], ["value"]),
            helper.make_node("Identity", ["r"], ["y"]),
        ],
        "form",
        [helper.make_tensor_value_info("x", TensorProto.UINT8, [1, "frames", channels])],
        [helper.make_tensor_value_info("y", TensorProto.UINT8, None)],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)
    editor = GraphEditor(model)
    emitter = Emitter(editor, "layer")
    unit, zero = emitter.constant("unit", np.float32(1)), emitter.constant("zero", np.uint8(0))
    scale = emitter.constant("scale", scales)
    out_scale, padding = emitter.constant("out_scale", np.float32(20)), (taps // 2, taps // 2)
    if name == FORMS[0]:
        turned = emitter.add("Transpose", ["value"], "turned", perm=[0, 2, 1])
        inputs = [turned, unit, zero, emitter.constant("weight", levels), scale]
        inputs += [emitter.constant("zeros", np.zeros(outputs, np.int8)), out_scale, zero]
        made = emitter.add("QLinearConv", inputs, "conv", pads=list(padding))
        result = emitter.add("Transpose", [made], "back", perm=[0, 2, 1])
    else:
        weight = emitter.constant("weight", levels.transpose(2, 1, 0).reshape(-1, outputs))
        operands = Operands(
            weight, unit, scale, None, 0, padding, taps=taps, channels=channels, outputs=outputs
        )
        if name == FORMS[1]:
            amounts = emitter.constant("amounts", np.array([0, padding[0], 0, 0, padding[1], 0]))
            padded = emitter.add("Pad", ["value", amounts, zero], "padded")
            layout = emitter.constant("layout", np.array([0, 0, taps * channels]))
            rows = emitter.add("Reshape", [emitter.taps(padded, taps), layout], "rows")
            inputs = [rows, weight, unit, scale, zero, emitter.constant("none", np.int8(0))]
            filtered = emitter.contributed("MatMulIntegerToFloat", inputs, "")
        else:
            filtered = fast_filter(emitter, "value", operands, FORMS.index(name) - 1)
        result = emitter.add("QuantizeLinear", [filtered, out_scale, zero], "rounded")
    last = editor.nodes[1]
    last.input[0] = result
    editor.replace(last, [*emitter.nodes, last])
    editor.finish()
    import_contributed(model)
    return model


def milliseconds(runs: Sequence[Callable[[], object]]) -> list[float]:
    """Median processor time of each, one thread, in turns."""
    seconds = interleaved_seconds(
        runs,
        threads=1,
        effort=Effort(rounds=_ROUNDS, min_rounds=_ROUNDS),
        clock=time.process_time,
    )
    return [1_000 * float(each) for each in np.median(seconds, axis=0)]


def forms_table() -> str:
    """Every form at every shape."""
    rows = []
    for shape in SHAPES:
        random = np.random.default_rng(1)
        x = random.integers(0, 64, (1, _FRAMES, shape[0])).astype(np.uint8)
        sessions = [
            onnxruntime.InferenceSession(
                form(name, shape).SerializeToString(),
                session_options(1),
                providers=["CPUExecutionProvider"],
            )
            for name in FORMS
        ]
        results = [session.run(None, {"x": x})[0] for session in sessions]
        for name, result in zip(FORMS, results, strict=True):
            if np.abs(result.astype(int) - results[0].astype(int)).max() > 1:
                raise click.ClickException(f"{name} computes something else at {shape}")
        taken = milliseconds([partial(each.run, None, {"x": x}) for each in sessions])
        described = f"{shape[0]} → {shape[1]}, {shape[2]} taps"
        rows.append([described, *(f"{each:.2f}" for each in taken)])
    return table(["convolution", *(f"{name}, ms" for name in FORMS)], rows)


def full_width_table(folder: Path) -> str:
    """The full-width Wav2Letter, OpenVINO in the same run."""
    source, clips = write_float(folder, Wav2LetterConfig())
    paths = [
        quantize_model(
            source, folder / f"{bits}.onnx", ninth_layer_of(bits), clips, fitting=QUICKLY
        ).path
        for bits in BITS
    ]
    feed = clips[0][1]
    sessions = [create_session(path, threads=1) for path in (source, *paths)]
    runs: list[Callable[[], object]] = [partial(each.run, None, feed) for each in sessions]
    names = ["float32", *(f"static-int8, layer 9 of {bits} bits" for bits in BITS)]
    sizes = [total_size(path) for path in (source, *paths)]
    if openvino_peer.available():
        feeds = [each for _, each in clips]
        theirs = openvino_peer.quantize(source, folder / "nncf.xml", feeds, transformer=False)
        runs.append(partial(openvino_peer.Peer(theirs).run, feed))
        names.append("OpenVINO + NNCF int8")
        sizes.append(openvino_peer.size(theirs))
    taken = milliseconds(runs)
    rows = [
        [name, f"{size / 1e6:.2f}", f"{each:.1f}", f"{taken[0] / each:.2f}×"]
        for name, size, each in zip(names, sizes, taken, strict=True)
    ]
    return table(["file", "MB", "median ms", "speed"], rows)


def cost_table(speech: Corpus, folder: Path) -> str:
    """What the bits cost the shipped model, for both kinds of processors."""
    heard = CalibrationData(speech.select(split="train").sample(_CLIPS, 0), read_info(SOURCE))
    dev = speech.select(split="dev")
    targets: tuple[TargetCpu, ...] = ("vnni", "any")
    made = [(target, bits) for target in targets for bits in BITS]
    paths = []
    for target, bits in made:
        path = folder / f"shipped-{target}-{bits}.onnx"
        # No more bits than there are levels.
        narrow = bits if target == "vnni" else bits - 1
        codec = "int8" if bits == 8 else f"bitplane:{narrow}"
        rule = LayerRule.parse(f"layer9.conv={codec}@static/{bits}")
        wanted = replace(preset("static-int8"), rules=(rule,))
        quantize_model(SOURCE, path, wanted, heard, fitting=PtqSettings(target_cpu=target))
        paths.append(path)
    rows = []
    for (target, bits), path, scored in zip(
        made, paths, score([SOURCE, *paths], dev, "greedy", 0, {})[1:], strict=True
    ):
        moved = model_divergence(SOURCE, path, CalibrationData(dev, read_info(SOURCE))).mean
        low, high = scored.change_ci
        edits = f"{100 * scored.change:+.2f} % [{100 * low:+.2f}, {100 * high:+.2f}]"
        rows.append([target, f"{bits}", f"{moved:.5f}", edits])
    return table(["target CPU", "bits of layer 9", "nats per frame", "edits [95 %]"], rows)


@click.command()
@click.option("--data", type=click.Path(path_type=Path, exists=True), required=True)
def main(data: Path) -> None:
    """Measure, and renew the section in RESULTS.md."""
    with tempfile.TemporaryDirectory() as folder:
        forms = forms_table()
        click.echo(forms)
        whole = full_width_table(Path(folder))
        click.echo(whole)
        cost = cost_table(open_corpus(data / "librispeech"), Path(folder))
        click.echo(cost)
    replace_section(
        "long-convolutions",
        f"""## Forms of a long convolution

`python -m benchmarks.long_convolutions --data FOLDER`: processor time on one thread, forms in
turns, medians of {_ROUNDS}. {host()}.

One convolution over {_FRAMES} frames, from bytes to bytes, with sums of weights that fit into a
byte. The fast FIR algorithm makes one filter into three of half the length at half the rate, or
into nine of a quarter:

{forms}

It pays from about three million weights on, so there a static layer whose input has 7 or 6 bits is
computed this way. The full-width Wav2Letter, {FRAMES:,} frames:

{whole}

What 7 and 6 bits of the ninth layer's input and as few levels of its weights cost the shipped model
(which gains less: its own has three million weights), on the dev speakers of
LibriSpeech, from {_CLIPS} clips of others. A file for any processor has half as many levels,
because sums must keep to 64:

{cost}
""",
    )


if __name__ == "__main__":
    main()

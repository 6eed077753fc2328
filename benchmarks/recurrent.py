"""LSTM and GRU: float32 against packed weights, and against DynamicQuantizeLSTM.

Run it from the repository: ``python -m benchmarks.recurrent``. It takes about a minute and renews
its section of RESULTS.md. One step is what the predictor of a transducer is run for; a hundred are
an encoder's. What the operators' ``usual_compute`` says follows from it.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import click
import numpy as np
import numpy.typing as npt
import onnx
from onnx import TensorProto, helper, numpy_helper

from benchmarks.results import host, replace_section, table
from quantkit.codecs.catalogue import CodecChoice
from quantkit.quantization import QuantizeSettings, quantize_model
from quantkit.runtime.interleaved import Effort, interleaved_seconds
from quantkit.runtime.session import create_session

_GATES = {"LSTM": 4, "GRU": 3}
PACKED = CodecChoice("bitplane", 4)
#: What each file is made with.
FORMS: Mapping[str, QuantizeSettings] = {
    "packed, float kernel": QuantizeSettings(compute="float32", codec=PACKED),
    "int8 kernel": QuantizeSettings(compute="dynamic"),
    "packed, int8 kernel": QuantizeSettings(compute="dynamic", codec=PACKED),
}


@dataclass(frozen=True)
class Case:
    """One recurrent layer, and how many steps of one clip it is run for."""

    op: str
    hidden: int
    steps: int


CASES = tuple(
    Case(op, hidden, steps) for op in _GATES for hidden in (320, 640) for steps in (1, 100)
)


@dataclass(frozen=True)
class Measured:
    """Of one form: milliseconds of each run, error relative to the float results, and bytes."""

    milliseconds: npt.NDArray[np.float64]
    error: float
    size: int


def write_layer(path: Path, case: Case) -> None:
    """A model of this layer alone, with states that go in and out."""
    random = np.random.default_rng(0)
    rows, hidden = _GATES[case.op] * case.hidden, case.hidden
    bound = 1 / np.sqrt(hidden)

    def uniform(*shape: int) -> npt.NDArray[np.float32]:
        # As PyTorch initialises them.
        return random.uniform(-bound, bound, shape).astype(np.float32)

    states = ["h", "c"][: 2 if case.op == "LSTM" else 1]
    node = helper.make_node(
        case.op,
        ["x", "w", "r", "b", "", *states],
        ["y", *(f"{state}.after" for state in states)],
        "rnn",
        hidden_size=hidden,
    )
    graph = helper.make_graph(
        [node],
        "recurrent",
        [
            helper.make_tensor_value_info("x", TensorProto.FLOAT, ["steps", 1, hidden]),
            *(helper.make_tensor_value_info(s, TensorProto.FLOAT, [1, 1, hidden]) for s in states),
        ],
        [helper.make_tensor_value_info(name, TensorProto.FLOAT, None) for name in node.output],
        [
            numpy_helper.from_array(uniform(1, rows, hidden), "w"),
            numpy_helper.from_array(uniform(1, rows, hidden), "r"),
            numpy_helper.from_array(uniform(1, 2 * rows), "b"),
        ],
    )
    opset = [helper.make_opsetid("", 18)]
    onnx.save(helper.make_model(graph, opset_imports=opset, ir_version=8), path)


def measure(folder: Path, case: Case, seconds: float) -> dict[str, Measured]:
    """Each form, run in turn for ``seconds`` on one thread; a GRU lacks the integer kernel."""
    source = folder / "source.onnx"
    write_layer(source, case)
    paths = {"float32": source}
    for form, settings in FORMS.items():
        made = quantize_model(source, folder / f"{len(paths)}.onnx", settings)
        if all(row.compute == settings.compute for row in made.layers):
            paths[form] = made.path
    random = np.random.default_rng(1)
    sessions = {form: create_session(path, threads=1) for form, path in paths.items()}
    sizes = {value.name: value.shape for value in sessions["float32"].get_inputs()}
    feed = {
        name: random.standard_normal([case.steps, *shape[1:]] if name == "x" else shape).astype(
            np.float32
        )
        for name, shape in sizes.items()
    }
    results = {form: session.run(["y"], feed)[0] for form, session in sessions.items()}
    taken = interleaved_seconds(
        [partial(session.run, None, feed) for session in sessions.values()],
        threads=1,
        effort=Effort(rounds=3_000, min_rounds=5, seconds=seconds),
        # A session with one thread computes in that of its caller; others share the host.
        clock=time.thread_time,
    )
    true = results["float32"]
    return {
        form: Measured(
            1_000 * taken[:, index],
            float(np.square(results[form] - true).mean() / np.square(true).mean()) ** 0.5,
            path.stat().st_size,
        )
        for index, (form, path) in enumerate(paths.items())
    }


def report(measured: Mapping[Case, Mapping[str, Measured]]) -> str:
    """The section of RESULTS.md."""
    rows = []
    for case, forms in measured.items():
        usual = float(np.median(forms["float32"].milliseconds))
        row = [case.op, str(case.hidden), str(case.steps), f"{usual:.2f}"]
        for form in FORMS:
            if form not in forms:
                row += ["–", "–"]
                continue
            found = forms[form]
            row += [
                f"{usual / float(np.median(found.milliseconds)):.2f}×",
                f"{forms['float32'].size / found.size:.1f}×",
            ]
        row.append(f"{100 * forms['int8 kernel'].error:.1f} %" if "int8 kernel" in forms else "–")
        rows.append(row)
    header = ["operator", "hidden", "steps", "float32, ms"]
    for form in FORMS:
        header += [f"{form}: speed", "size"]
    header.append("int8 kernel: error")
    runs = min(len(f.milliseconds) for forms in measured.values() for f in forms.values())
    return f"""## Recurrent layers

`python -m benchmarks.recurrent`: one layer with as many inputs as it has hidden units, one clip;
medians of the processor time of at least {runs} interleaved runs on one thread, speed and size
against float32. Packed weights are `{PACKED}`; they are rebuilt while the model loads, and do
nothing to the speed of a kernel. The integer kernel is `DynamicQuantizeLSTM`, which rounds input
and state to 8 bits in each step; its error is that of the results, relative to their root mean
square. There is none for GRU. {host()}.

{table(header, rows)}
"""


@click.command()
@click.option("--seconds", default=6.0, show_default=True, help="Time per case.")
def main(seconds: float) -> None:
    """Measure, and renew the section in RESULTS.md."""
    with tempfile.TemporaryDirectory() as name:
        measured = {case: measure(Path(name), case, seconds) for case in CASES}
    section = report(measured)
    replace_section("recurrent", section)
    click.echo(section)


if __name__ == "__main__":
    main()

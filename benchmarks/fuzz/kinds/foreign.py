"""Models of others, odd and damaged: what is adopted writes what the original writes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnxruntime

from benchmarks.fuzz.case import Answer, Case, WrongResult, attempt, command
from benchmarks.fuzz.damage import damaged
from benchmarks.fuzz.models import LABELS, write_models
from benchmarks.fuzz.protobuf_damage import changed_model
from quantkit.api.load import load
from quantkit.audio.decode import read_audio
from quantkit.runtime.session import session_options

_CLIP = "clips/clip5.wav"


class ForeignModels:
    """Cycles, giant sizes, unknown types, missing inputs, weights elsewhere."""

    name, share = "foreign-models", 50

    def prepare(self, seeds: Path) -> None:
        if not (seeds / "model.onnx").exists():
            write_models(seeds)

    def run(self, case: Case) -> Answer:
        content = (case.seeds / "foreign.onnx").read_bytes()
        path, made = case.folder / "foreign.onnx", case.folder / "made.onnx"
        if case.random.random() < 0.75:
            model = changed_model(onnx.load_model_from_string(content), case.random)
            content = model.SerializeToString()
        else:
            content = damaged(content, case.random)
        path.write_bytes(content)
        command(
            *("export", path, "--task", "ctc", "--labels", case.seeds / "labels.txt", "-o", made),
        )
        text = attempt(lambda: load(made).transcribe(case.seeds / _CLIP).text)
        expected = _original_text(content, case.seeds / _CLIP)
        if expected is not None and text != expected:
            raise WrongResult(f"the original writes {expected!r}, and what was adopted {text!r}")
        command("verify", made, may_fail=False)
        return "right"


def _original_text(content: bytes, clip: Path) -> str | None:
    """What the original writes, by the best label of each frame; None where it runs otherwise."""
    model = onnx.load_model_from_string(content)
    names = [port.name for port in model.graph.input]
    if names != ["audio"] or len(model.graph.output) != 1:
        return None
    try:
        session = onnxruntime.InferenceSession(
            content, session_options(), providers=["CPUExecutionProvider"]
        )
        (logits,) = session.run(None, {"audio": read_audio(clip)[None]})
    except Exception:
        # It does not run alone; what was adopted may have been mended on the way.
        return None
    if logits.ndim != 3 or logits.shape[2] != len(LABELS):
        return None
    best = logits[0].argmax(-1)
    kept = [int(b) for i, b in enumerate(best) if b and (i == 0 or b != best[i - 1])]
    # Texts are printed with one space between words.
    text = " ".join(LABELS.decode(kept).split())
    return text if np.isfinite(logits).all() else None

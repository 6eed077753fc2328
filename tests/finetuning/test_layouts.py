from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.finetuning.layouts import kernel_positions
from quantkit.graph.editor import GraphEditor
from quantkit.graph.operators import layer_weights
from quantkit.quantization.choices.settings import QuantizeSettings
from quantkit.quantization.pipeline import choices_and_observations
from quantkit.quantization.prepared import PreparedModel
from tests.small_model import Clip


@pytest.mark.slow
@pytest.mark.parametrize("compute", ["static", "dynamic", "float32"])
def test_each_weight_is_found_where_the_kernel_reads_it(
    source: Path, clips: list[Clip], compute: str
) -> None:
    prepared = PreparedModel.of(source)
    settings = QuantizeSettings(
        compute=compute,  # type: ignore[arg-type]
        codec=CodecChoice.parse("bitplane:2"),
    )
    assigned, seen = choices_and_observations(
        prepared, source.with_name("q.onnx"), settings, None, prepared.feeds(clips), True, None
    )
    before = {
        name: weight.array() for name, weight in layer_weights(GraphEditor(assigned.model)).items()
    }
    positions = kernel_positions(assigned, seen)
    assert positions.keys() == before.keys()
    for name, places in positions.items():
        values = before[name]
        assert values is not None
        assert sorted(places.reshape(-1)) == list(range(values.size))
    last = positions["layer6.conv"]
    if compute == "float32":
        np.testing.assert_array_equal(last.reshape(-1), np.arange(last.size))
    else:
        # A product: inputs before outputs.
        outputs, inputs, _ = before["layer6.conv"].shape
        assert last.shape == (inputs, outputs)
        np.testing.assert_array_equal(last, np.arange(last.size).reshape(outputs, inputs).T)

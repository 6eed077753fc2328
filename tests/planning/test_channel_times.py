"""Times with fewer channels lie between those of two models that were timed."""

from __future__ import annotations

import pytest

from quantkit.planning.channel_times import ChannelTimes
from quantkit.structure.channel_paths import channel_paths
from tests.planning.test_structure import layer_times
from tests.small_model import masked_convolutions

NAMES = [f"layer{i}.conv" for i in range(1, 7)]
PATHS = {
    name: path
    for name, path in channel_paths(masked_convolutions(width=4)).items()
    if name in ("layer2.conv", "layer3.conv")
}
COUNTS = dict.fromkeys(PATHS, 48)


def times() -> ChannelTimes:
    """Layers take 1 ms, of which 0.2 are for nothing, and as much as they multiply."""
    products = {"layer2.conv": 0.5, "layer3.conv": 0.25, "layer4.conv": 0.5}
    cut = {name: 0.2 + 0.8 * products.get(name, 1.0) for name in NAMES}
    return ChannelTimes(
        layer_times(dict.fromkeys(NAMES, 1.0), 0.6), layer_times(cut, 0.4), COUNTS, PATHS
    )


def test_what_is_not_cut_takes_what_it_took() -> None:
    found = times()
    for name in NAMES:
        before = found.whole.milliseconds(name, "static")
        assert found.milliseconds(name, "static", 0, 0) == pytest.approx(before)


def test_products_are_those_of_both_sides() -> None:
    assert times().products("layer3.conv", 72, 48) == pytest.approx(0.75 * 0.5)
    assert times().products("layer4.conv", 0, 48) == 0.5
    assert times().products("layer5.conv", 0, 0) == 1.0


def test_a_layer_takes_as_long_as_its_products() -> None:
    found = times()
    own = found.milliseconds("layer4.conv", "static", 0, 72) - 0.1
    assert own == pytest.approx(0.2 + 0.8 * 0.75)
    both = found.milliseconds("layer3.conv", "static", 48, 72) - 0.1 + 0.1
    assert both == pytest.approx(0.2 + 0.8 * 0.5 * 0.75)


def test_what_lies_between_two_layers_is_saved_by_the_one_that_makes_the_channels() -> None:
    found = times()
    whole = found.milliseconds("layer2.conv", "static", 0, 0)
    cut = found.milliseconds("layer2.conv", "static", 48, 0)
    # Of 0.2 ms that both paths save with half of their channels.
    assert whole - cut == pytest.approx(0.8 * 0.5 + 0.1)

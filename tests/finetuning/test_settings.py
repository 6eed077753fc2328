from __future__ import annotations

import pytest

from quantkit.errors import InputError
from quantkit.finetuning.settings import FinetuneSettings


@pytest.mark.parametrize(
    ("name", "value", "complaint"),
    [
        ("minutes", 0, "minutes must be above 0, not 0"),
        ("learning_rate", -1, "learning_rate must be above 0, not -1"),
        ("ctc_weight", float("nan"), "ctc_weight must be at least 0, not nan"),
        ("refresh_every", 0, "refresh_every must be at least 1, not 0"),
        ("steps", 0, "steps must be at least 1, not 0"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: float, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        FinetuneSettings(**{name: value})

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
        ("schedule", "slowly", "unknown schedule 'slowly'; choose of together, incremental"),
        ("parts", (0.5, 0.4, 1.0), "parts must rise from above 0 and end at 1"),
        ("parts", (0.5,), "parts must rise from above 0 and end at 1"),
    ],
)
def test_a_value_out_of_range_is_refused_by_name(name: str, value: object, complaint: str) -> None:
    with pytest.raises(InputError, match=complaint):
        FinetuneSettings(**{name: value})

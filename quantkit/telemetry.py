"""No telemetry: what libraries would record about a run is switched off before they are imported.

From version 1.31 on, ONNX Runtime keeps events in a database under the user's cache folder, with an
identifier of the device and the metadata of each model that is opened, among them labels and plan.
It reads its switch once, when it is imported. ``huggingface_hub`` adds the versions of installed
libraries to its requests unless it is told not to.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, MutableMapping

#: Environment variables, and the value that means "off".
SWITCHES: Mapping[str, str] = {"ORT_DISABLE_TELEMETRY": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}


def switch_off_telemetry(environment: MutableMapping[str, str] = os.environ) -> None:
    """Set the switches that the user has not set; processes that are started later inherit them.

    Args:
        environment: a variable that is there and not empty is left alone, whatever it says.
    """
    for name, off in SWITCHES.items():
        # Both libraries take an empty value for telemetry being on.
        if not environment.get(name):
            environment[name] = off

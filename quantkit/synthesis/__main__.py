"""``python -m quantkit.synthesis OUT_DIR --clips N --seed S --kind KIND``."""

from __future__ import annotations

import argparse
import sys
import time
from pathlib import Path

from quantkit.errors import QuantkitError
from quantkit.synthesis.corpus import synthesize
from quantkit.synthesis.sentences import KINDS


def run(arguments: list[str]) -> int:
    """Make a corpus; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m quantkit.synthesis", description=__doc__)
    parser.add_argument("out_dir", type=Path)
    parser.add_argument("--clips", type=int, required=True)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--kind", choices=KINDS, default="sentences")
    chosen = parser.parse_args(arguments)
    started = time.monotonic()
    try:
        manifest = synthesize(chosen.out_dir, chosen.clips, chosen.kind, chosen.seed)
    except QuantkitError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    rate = chosen.clips / (time.monotonic() - started)
    print(f"{manifest}: {chosen.clips} clips, {rate:.1f} clips/s")
    return 0


if __name__ == "__main__":
    sys.exit(run(sys.argv[1:]))

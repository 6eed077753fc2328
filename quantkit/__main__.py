"""``python -m quantkit`` is the same as ``quantkit``."""

import sys
from pathlib import Path

# With -m, Python imports from the working folder first, where a file may be called numpy.py.
if not sys.flags.safe_path and sys.path and Path(sys.path[0]) == Path.cwd():
    del sys.path[0]
    # This package itself may be at home there.
    sys.path.append(str(Path(__file__).resolve().parent.parent))

from quantkit.cli import main

main()

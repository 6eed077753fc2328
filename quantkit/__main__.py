"""``python -m quantkit`` is the same as ``quantkit``."""

from quantkit.cli import main

main()

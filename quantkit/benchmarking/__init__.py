"""Models measured against each other, the report, and the gate."""

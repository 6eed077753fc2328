"""From a budget to a plan: how every layer is stored and computed, and the size of the file."""

"""From a budget to a plan: how every layer is stored and computed, and what the file will take."""

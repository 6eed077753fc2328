"""What each layer shall become: settings, presets, and what limits a choice."""

"""Clips divided by who speaks, how long, loud and fast they are, and what is wrong in each."""

"""Many damaged and odd inputs, each of which must be read right or refused in one line."""

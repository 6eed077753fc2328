"""Where audio lies and results go: a folder here, or one at a URL."""

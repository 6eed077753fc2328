"""Folders for other programs: the names, forms and metadata that each of them loads."""

"""Audio files, corpora and features: the input of a recogniser."""

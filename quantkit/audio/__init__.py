"""What a recogniser hears: audio files, corpora, features."""

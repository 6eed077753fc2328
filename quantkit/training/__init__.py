"""Training of Wav2Letter with CTC, and of keyword spotters. Needs the ``export`` extra."""

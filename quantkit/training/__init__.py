"""CTC training of Wav2Letter. Needs the ``export`` extra."""

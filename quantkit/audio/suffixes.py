"""What names of audio files end in: for folders without a list. A file's content decides how it is
read."""

from __future__ import annotations

_PLAIN = """
    .wav .wave .bwf .rf64 .w64 .flac .ogg .oga .opus .mp3 .mp2 .mpga .aif .aiff .aifc .au
    .snd .caf .sph .nist .voc .gsm
"""
_MEDIA = """
    .m4a .m4b .mp4 .m4v .mov .3gp .3gpp .3g2 .aac .adts .wma .asf .wmv .amr .awb .webm .weba
    .mkv .mka .ogv .ogx .spx .ac3 .eac3 .dts .ape .wv .tta .mpc .tak .ra .rm .avi .flv .ts
    .mts .m2ts .mpg .mpeg .dsf .qt
"""

#: Read by libsndfile, and from the headers that :mod:`quantkit.audio.containers` mends.
PLAIN = frozenset(_PLAIN.split())
#: Read by FFmpeg's libraries, where they are installed.
MEDIA = frozenset(_MEDIA.split())
#: Suffixes of audio files, in lower case.
AUDIO_SUFFIXES = PLAIN | MEDIA

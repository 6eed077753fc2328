"""How files begin that libsndfile does not know, and FFmpeg's libraries do."""

from __future__ import annotations

from quantkit.audio.containers.part import MediaFormat

#: Of which several may be joined end to end.
MP4 = MediaFormat("mov", "MP4, M4A, MOV or 3GP")
_AT_4 = {
    b"ftyp": MP4,
    b"moov": MP4,
    b"mdat": MP4,
    b"wide": MP4,
    b"free": MP4,
    b"skip": MP4,
}
_AT_0 = {
    b"\x1aE\xdf\xa3": MediaFormat("matroska", "WebM or Matroska"),
    b"0&\xb2u\x8ef\xcf\x11": MediaFormat("asf", "WMA or ASF"),
    b"#!AMR": MediaFormat("amr", "AMR"),
    b"ADIF": MediaFormat("aac", "AAC"),
    b"FLV\x01": MediaFormat("flv", "FLV"),
    b"wvpk": MediaFormat("wv", "WavPack"),
    b"TTA1": MediaFormat("tta", "True Audio"),
    b"MAC ": MediaFormat("ape", "Monkey's Audio"),
    b"MPCK": MediaFormat("mpc8", "Musepack"),
    b"MP+": MediaFormat("mpc", "Musepack"),
    b"tBaK": MediaFormat("tak", "TAK"),
    b".RMF": MediaFormat("rm", "RealMedia"),
    b"\x0bw": MediaFormat("ac3", "AC-3"),
    b"\x7f\xfe\x80\x01": MediaFormat("dts", "DTS"),
    b".SoX": MediaFormat("sox", "SoX"),
    b"XoS.": MediaFormat("sox", "SoX"),
    b"nut/multimedia container\0": MediaFormat("nut", "NUT"),
    b"DSD ": MediaFormat("dsf", "DSF"),
    b"\0\0\x01\xba": MediaFormat("mpeg", "MPEG program stream"),
}
_MPEG_TS_PACKET = 188


def media_format(head: bytes) -> MediaFormat | None:
    """The format of a file that begins with ``head``; None where it is none of these."""
    if head[4:8] in _AT_4:
        return _AT_4[head[4:8]]
    for magic, found in _AT_0.items():
        if head.startswith(magic):
            return found
    # The twelve set bits of ADTS, with the layer that MPEG audio never has.
    if len(head) > 1 and head[0] == 0xFF and head[1] & 0xF6 == 0xF0:
        return MediaFormat("aac", "AAC")
    if head[:4] == b"RIFF" and head[8:12] == b"AVI ":
        return MediaFormat("avi", "AVI")
    if head[:1] == b"G" == head[_MPEG_TS_PACKET : _MPEG_TS_PACKET + 1]:
        return MediaFormat("mpegts", "MPEG transport stream")
    return None

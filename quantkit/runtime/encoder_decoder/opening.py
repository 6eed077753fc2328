"""Opening the two files of an encoder and its decoder, in whichever form they are."""

from __future__ import annotations

from pathlib import Path

from quantkit.errors import InputError, ModelError
from quantkit.graph.artifact import model_files, read_info
from quantkit.graph.info import ArtifactInfo
from quantkit.graph.roles import DECODER, ENCODER
from quantkit.graph.translation import translations_in
from quantkit.runtime.encoder_decoder.merged import MergedNetwork
from quantkit.runtime.encoder_decoder.network import ExportedNetwork, Network
from quantkit.runtime.encoder_decoder.two_decoders import TwoDecoderNetwork
from quantkit.runtime.session import create_session
from quantkit.runtime.translated_session import TranslatedSession


def require_any_length(info: ArtifactInfo) -> None:
    """Refuse shorter windows where the encoder takes whole ones alone.

    Raises:
        InputError: it is that of a published folder.
    """
    published = translations_in(info.extra)
    if published is not None and published.merged:
        raise InputError(
            "--window is for encoders that take any length, and that of the published folder "
            "takes whole windows alone; export the checkpoint instead"
        )


def is_published(info: ArtifactInfo) -> bool:
    """Whether the files have the form of the folder that the model came from."""
    published = translations_in(info.extra)
    return published is not None and published.kept


def require_readable_attention(info: ArtifactInfo, path: Path) -> None:
    """Refuse times of words where the decoder's attention cannot be read.

    Raises:
        InputError: it is inside of a merged decoder.
    """
    if is_published(info):
        raise InputError(
            f"{path} has the form that it was published in, in which the attention that gives "
            "times of words cannot be read; `quantkit export` of its folder makes another"
        )


def open_network(path: Path, threads: int = 1, info: ArtifactInfo | None = None) -> Network:
    """Encoder and decoder of an artifact.

    Args:
        info: of the artifact, where it was read already.

    Raises:
        ModelError: a file is missing or damaged, or they are no encoder and decoder.
    """
    files = model_files(path)
    info = read_info(path, check=False) if info is None else info
    published = translations_in(info.extra)
    if published is not None and published.kept and published.two_decoders:
        if len(files) != len(published.graphs):
            raise ModelError(f"{path} names {len(files)} graphs of {len(published.graphs)}")
        return TwoDecoderNetwork(
            [create_session(file, threads=threads) for file in files], published
        )
    encoder, *decoders = files
    if len(decoders) != 1:
        raise ModelError(f"{path} names no decoder, so it is no whole model")
    if published is None or not published.kept:
        return ExportedNetwork.load(encoder, decoders[0], threads)
    if published.merged:
        return MergedNetwork.load(encoder, decoders[0], threads)
    sessions = (
        TranslatedSession(create_session(file, threads=threads), published.of(role))
        for file, role in ((encoder, ENCODER), (decoders[0], DECODER))
    )
    return ExportedNetwork(*sessions)

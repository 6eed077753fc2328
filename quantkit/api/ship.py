"""An artifact becomes a bundle for an edge team."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from quantkit.api.begin import Begin, nothing
from quantkit.api.inputs import PathLike, float_model, optional_path, path_of
from quantkit.bundles.bundle import require_replaceable
from quantkit.bundles.bundle import ship as make_bundle
from quantkit.bundles.manifest import MANIFEST, FileEntry, Manifest
from quantkit.bundles.profile_bundle import ship_for
from quantkit.bundles.profiles.catalogue import profile_named
from quantkit.bundles.signing import Signer
from quantkit.disk.files import sha256_of
from quantkit.errors import InputError


@dataclass(frozen=True)
class ShipResult:
    """What :func:`ship` wrote.

    Args:
        path: folder of the bundle.
        manifest: what lies in it.
        manifest_sha256: of ``manifest.json``; whoever knows it can prove that nothing was changed.
        signed: whether ``model.sig`` lies in it, too.
    """

    path: Path
    manifest: Manifest
    manifest_sha256: str
    signed: bool = False

    @property
    def name(self) -> str:
        """The model's name for people."""
        return self.manifest.name

    @property
    def files(self) -> tuple[FileEntry, ...]:
        """Every file of the bundle but the manifest."""
        return self.manifest.files

    @property
    def tested_on(self) -> tuple[Mapping[str, Any], ...]:
        """The runtimes that ran the model, with their versions."""
        return self.manifest.tested_on

    def to_dict(self) -> dict[str, Any]:
        """For programs."""
        return {
            "path": str(self.path),
            "name": self.name,
            "model_sha256": self.manifest.model_sha256,
            "manifest_sha256": self.manifest_sha256,
            "signed": self.signed,
            "frontend_added": self.manifest.frontend_added,
            "profile": self.manifest.profile,
            "tested_on": [dict(run) for run in self.tested_on],
            "examples": [dict(run) for run in self.manifest.examples],
            "files": self.rows(),
        }

    def rows(self) -> list[dict[str, Any]]:
        """One row per file, for ``pandas.DataFrame``."""
        return [asdict(entry) for entry in self.files]


def ship(
    model: PathLike,
    output: PathLike,
    *,
    bench: PathLike | None = None,
    licence: PathLike | None = None,
    about: PathLike | None = None,
    name: str = "",
    pythons: Sequence[str] = (),
    force: bool = False,
    sign: PathLike | None = None,
    clip: PathLike | None = None,
    node_modules: PathLike | None = None,
    onnxruntime: PathLike | None = None,
    profile: str | None = None,
    begin: Begin = nothing,
) -> ShipResult:
    """Write a bundle: everything that a team needs to run ``model`` in stock ONNX Runtime.

    The front end is put into the model if it is not there yet, so that it takes waveforms. The
    model is run before the bundle appears.

    >>> import quantkit
    >>> made = quantkit.ship("int8.onnx", "bundle", licence="LICENCE")  # doctest: +SKIP
    >>> made.files[0].path  # doctest: +SKIP
    'CARD.md'

    Args:
        model: an artifact, or what :func:`quantkit.export` takes.
        output: folder of the bundle.
        bench: a ``bench.json`` with figures of this file, for the card.
        licence: the file of its text, or the name of the licence in the model's metadata, to take
            that; None: what the metadata say, in full where the text lies beside the model.
        about: card of the recogniser (Markdown) to include.
        name: for people; empty: from the metadata.
        pythons: further interpreters with ``onnxruntime`` and ``numpy`` to run the model in.
        force: replace an earlier bundle at ``output``; nothing else is ever replaced.
        sign: private key (PEM: P-256, P-384 or P-521) that signs all files, as
            :func:`quantkit.verify` checks with ``public_key``; the password of an encrypted one is
            taken from the environment variable ``QUANTKIT_KEY_PASSWORD``.
        clip: WAV file of 16 bits on which the examples are run and measured, for the card; None:
            noise, and nothing is measured, so that the same inputs give the same bytes.
        node_modules: folder in which npm installed ``onnxruntime-node`` and ``onnxruntime-web``;
            None: those in ``NODE_PATH``. The example for Node is run where Node and the first are
            there, the page where Chromium and the second are.
        onnxruntime: ONNX Runtime for C++, a folder with ``include`` and ``lib``, such as a
            release archive unpacked: the example in C++ is compiled with it and run.
        profile: a program that loads the folder by itself, one of
            :data:`~quantkit.bundles.profiles.catalogue.PROFILE_NAMES`: its files get the names,
            forms and metadata that it knows, and there are no examples.
        begin: see :data:`~quantkit.api.begin.Begin`.

    Raises:
        InputError: ``profile`` is no program that is known, or stands beside an option of bundles
            with examples.
        ModelError: the model is no artifact, lacks labels or a front end, does not run, or is none
            that the program of ``profile`` loads.
        FormatError: ``bench`` does not hold figures of this file.
        InputError: no licence is known, the file beside the model holds another than the metadata
            name, a text cannot be read, or ``sign`` is no key that can sign.
        MissingDependencyError: ``sign`` is given, and ``model-signing`` is not installed.
        OutputError: ``output`` exists and may not be replaced, or cannot be written.
    """
    destination = path_of(output, "the output")
    require_replaceable(destination, force)
    key = optional_path(sign, "the private key")
    if key is not None:
        Signer(key)
    signs = "" if key is None else f", and sign it with {key}"
    if profile is not None:
        examples = {
            "bench": bench, "python": pythons or None, "clip": clip, "node-modules": node_modules,
            "onnxruntime": onnxruntime,
        }  # fmt: skip
        if given := [name for name, value in examples.items() if value is not None]:
            raise InputError(
                f"--{given[0]} is for bundles with examples, and a folder for {profile} has none"
            )
        profile_named(profile)
        begin(f"make a folder of {model} for {profile}{signs}")
        with float_model(model) as path:
            manifest = ship_for(
                profile,
                path,
                destination,
                licence=optional_path(licence, "the licence"),
                about=optional_path(about, "about"),
                name=name,
                force=force,
                sign=key,
            )
        return ShipResult(destination, manifest, sha256_of(destination / MANIFEST), key is not None)
    begin(f"bundle {model} and run it in {' and '.join(('this Python', *pythons))}{signs}")
    with float_model(model) as path:
        manifest = make_bundle(
            path,
            destination,
            bench=optional_path(bench, "bench"),
            licence=optional_path(licence, "the licence"),
            about=optional_path(about, "about"),
            name=name,
            pythons=pythons,
            force=force,
            sign=key,
            clip=optional_path(clip, "the clip"),
            node_modules=optional_path(node_modules, "node_modules"),
            onnxruntime=optional_path(onnxruntime, "ONNX Runtime"),
        )
    return ShipResult(destination, manifest, sha256_of(destination / MANIFEST), key is not None)

"""Make a folder that another program loads, with licence, card, bill of materials and manifest."""

from __future__ import annotations

from pathlib import Path

from quantkit.bundles.bundle import provenance_in, require_replaceable, told
from quantkit.bundles.card import one_line
from quantkit.bundles.licences import licence_text, read_text
from quantkit.bundles.manifest import CARD, LICENCE, SBOM, Manifest, describe, write_manifest
from quantkit.bundles.profiles.base import Source, Written
from quantkit.bundles.profiles.catalogue import profile_named
from quantkit.bundles.sbom import BillFacts, bill_of_materials
from quantkit.bundles.signing import Signer
from quantkit.bundles.trial import open_once
from quantkit.disk.files import sha256_of, write_text
from quantkit.disk.replacing import replaced_folder
from quantkit.graph.info import checked_plan


def ship_for(
    profile: str,
    model: Path,
    destination: Path,
    *,
    licence: Path | str | None = None,
    about: Path | None = None,
    name: str = "",
    force: bool = False,
    sign: Path | None = None,
) -> Manifest:
    """Write a folder that a program loads.

    Its graphs are opened before anything appears at ``destination``; they are run by the program
    alone.

    Args:
        profile: one of :data:`~quantkit.bundles.profiles.catalogue.PROFILE_NAMES`.
        model: an artifact.
        licence, about, name, force, sign: see :func:`~quantkit.bundles.bundle.ship`.

    Raises:
        ModelError: the program loads no such model, or ``model`` is no artifact.
        InputError, MissingDependencyError, OutputError: see
            :func:`~quantkit.bundles.bundle.ship`.
    """
    signer = None if sign is None else Signer(sign)
    program, source = profile_named(profile), Source(model)
    info = source.info
    checked_plan(info, str(model))
    form = program.form_for(source)
    text_of_licence = licence_text(model, info.licence, str(licence or ""))
    about_text = read_text(about) if about is not None else ""
    require_replaceable(destination, force)
    title = one_line(name or " ".join(filter(None, (info.name, model.stem))))
    with replaced_folder(
        destination, check=lambda: require_replaceable(destination, force)
    ) as folder:
        written = form.write(source, folder)
        runtime = open_once(written.graphs)
        write_text(folder / LICENCE, text_of_licence)
        write_text(folder / CARD, _card(title, profile, form.name, folder, written, about_text))
        graphs = (*written.graphs, *sorted(folder.rglob("*.onnx.data")))
        bill = BillFacts(title, info, text_of_licence, graphs, (runtime,), None)
        write_text(folder / SBOM, bill_of_materials(bill))
        manifest = Manifest(
            name=title,
            model_sha256=sha256_of(model),
            frontend_added=written.frontend_added,
            tested_on=(told(runtime),),
            files=describe(folder),
            provenance=provenance_in(info, str(model)),
            profile=profile,
        )
        write_manifest(manifest, folder)
        if signer is not None:
            signer.sign(folder, manifest.name)
    return manifest


def _card(title: str, profile: str, form: str, folder: Path, written: Written, about: str) -> str:
    files = sorted(
        (path.relative_to(folder).as_posix(), path.stat().st_size)
        for path in folder.rglob("*")
        if path.is_file() and path.name != LICENCE
    )
    rows = "".join(f"| `{name}` | {size:,} |\n" for name, size in files)
    inner = "\n".join(f"#{line}" if line.startswith("#") else line for line in about.splitlines())
    more = f"\n## About the recogniser\n\n{inner.strip()}\n" if about else ""
    return (
        f"# {title}\n\n"
        f"For {profile}, which loads it as {form}.\n\n"
        f"```{written.language}\n{written.opening}```\n\n"
        f"| file | bytes |\n|---|---:|\n{rows}{more}"
    )

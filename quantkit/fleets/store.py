"""Finished artifacts and their records, in any storage.

::

    artifacts/3f/3f2a….onnx     the artifact of job 3f2a…
    jobs/3f/3f2a….json          its record, written last: what is named there is complete

An artifact without its record, or with another content than its record says, counts as missing.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from quantkit.disk.files import sha256_of
from quantkit.errors import FormatError
from quantkit.fleets.content import digest_of_json
from quantkit.fleets.jobs import RECORD_SCHEMA, JobRecord, StoredFile
from quantkit.fleets.storage.base import Storage
from quantkit.json_fields import Fields, parse_json


class ResultStore:
    """Artifacts by the name of their job.

    Args:
        storage: where they lie.
    """

    def __init__(self, storage: Storage) -> None:
        self.storage = storage

    def record(self, job: str) -> JobRecord | None:
        """That of ``job``, if it is there, whole and undamaged; its files are not looked at.

        Raises:
            OutputError: the storage does not answer.
        """
        name = _record_name(job)
        content = self.storage.read(name)
        if content is None:
            return None
        try:
            fields = Fields(parse_json(content, name), name)
            body = fields.table("record")
            if fields.text("schema") != RECORD_SCHEMA or fields.text("sha256") != _digest(body):
                return None
            found = JobRecord.from_json(body, name)
        except FormatError:
            return None
        return found if found.job == job else None

    def intact(self, job: str) -> JobRecord | None:
        """As :meth:`record`, if all files that it names are there with the content that it says.

        Raises:
            OutputError: the storage does not answer.
        """
        found = self.record(job)
        if found is None or not found.files:
            return None
        whole = all(
            self.storage.digest(file.name) == (file.bytes, file.sha256) for file in found.files
        )
        return found if whole else None

    def put_files(self, job: str, files: Sequence[Path]) -> tuple[StoredFile, ...]:
        """Store the files of an artifact, which are called as in :meth:`file_name`.

        Args:
            files: the one to open first comes first.

        Raises:
            OutputError: the storage refuses.
        """
        stored = []
        for path in files:
            name = f"artifacts/{job[:2]}/{path.name}"
            stored.append(StoredFile(name, path.stat().st_size, sha256_of(path)))
            self.storage.put(name, path)
        return tuple(stored)

    def put_record(self, record: JobRecord) -> None:
        """Store it; from then on the job is done.

        Raises:
            OutputError: the storage refuses.
        """
        body = record.to_json()
        document = {"schema": RECORD_SCHEMA, "sha256": _digest(body), "record": body}
        text = json.dumps(document, indent=2, ensure_ascii=False) + "\n"
        content = text.encode("utf-8", "backslashreplace")
        self.storage.write(_record_name(record.job), content)

    @staticmethod
    def file_name(job: str) -> str:
        """Of the file to open first; further graphs are called likewise, see
        :func:`quantkit.graph.roles.beside`."""
        return f"{job}.onnx"


def _record_name(job: str) -> str:
    return f"jobs/{job[:2]}/{job}.json"


def _digest(body: object) -> str:
    # As it reads from a file: tuples are lists there.
    return digest_of_json(json.loads(json.dumps(body)))

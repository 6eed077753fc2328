"""Documents of others are read when they are files of a size that can be meant."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from quantkit.disk.files import read_json
from quantkit.disk.reading import parse_toml, read_bytes, read_text, require_regular
from quantkit.errors import FormatError

posix = pytest.mark.skipif(os.name != "posix", reason="needs files of POSIX")


@posix
class TestWhatIsNoFile:
    def test_a_pipe(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a")
        with pytest.raises(OSError, match="it is a pipe; give a file"):
            read_bytes(tmp_path / "a")

    def test_a_device_behind_a_link(self, tmp_path: Path) -> None:
        (tmp_path / "a").symlink_to("/dev/zero")
        with pytest.raises(OSError, match="it is a device; give a file"):
            read_bytes(tmp_path / "a")

    def test_a_folder_where_a_file_is_needed(self, tmp_path: Path) -> None:
        with pytest.raises(IsADirectoryError):
            read_bytes(tmp_path)
        require_regular(tmp_path, folder=True)

    def test_what_is_missing(self, tmp_path: Path) -> None:
        with pytest.raises(FileNotFoundError):
            require_regular(tmp_path / "a")


class TestDocuments:
    def test_one_that_is_too_long_is_not_read_to_its_end(self, tmp_path: Path) -> None:
        path = tmp_path / "plan.json"
        with path.open("wb") as stream:
            stream.truncate(1 << 40)  # takes no room on the disk
        with pytest.raises(FormatError, match="more than the 64 MB that such a file may have"):
            read_json(path, "quantkit.plan/1")

    @pytest.mark.parametrize("text", ["[" * 1_000_000, '{"a":' * 1_000_000])
    def test_json_that_nests_without_end(self, text: str, tmp_path: Path) -> None:
        (tmp_path / "plan.json").write_text(text)
        with pytest.raises(FormatError, match="nested too deeply"):
            read_json(tmp_path / "plan.json", "quantkit.plan/1")

    def test_numbers_of_thousands_of_digits(self, tmp_path: Path) -> None:
        (tmp_path / "plan.json").write_text("9" * 10_000)
        with pytest.raises(FormatError, match="is not JSON"):
            read_json(tmp_path / "plan.json", "quantkit.plan/1")

    @pytest.mark.parametrize(
        "text",
        [
            ".".join("a" * 20_000) + " = 1",
            "a = {" + ".".join("a" * 20_000) + " = 1}",
            f"[{' . '.join(['b'] * 20_000)}]",
            "a = " + "[" * 20_000,
            "\n".join(["a = 1"] * 100_000),
        ],
        ids=["key", "inline key", "header", "nested", "long"],
    )
    def test_toml_that_takes_gigabytes(self, text: str, tmp_path: Path) -> None:
        path = tmp_path / "a.toml"
        path.write_text(text)
        with pytest.raises((ValueError, OSError)):
            parse_toml(path)

    def test_settings_as_people_write_them(self, tmp_path: Path) -> None:
        path = tmp_path / "a.toml"
        path.write_text(
            '[quantize]\r\naudio = "a.b.c"\r\n# ' + "." * 1_000 + '\r\na."b.c".d = 1\r\n'
        )
        assert parse_toml(path) == {"quantize": {"audio": "a.b.c", "a": {"b.c": {"d": 1}}}}

    def test_line_ends_of_all_kinds(self, tmp_path: Path) -> None:
        (tmp_path / "a").write_bytes(b"1\r\n2\r3\n")
        assert read_text(tmp_path / "a") == "1\n2\n3\n"

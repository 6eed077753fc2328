"""Object arrays are read without letting the file run anything."""

from __future__ import annotations

import codecs
import io
import os
import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from quantkit.audio.corpora.array_file import load_array
from quantkit.errors import CorpusError


def objects(*items: Any) -> np.ndarray:
    array = np.empty(len(items), dtype=object)
    for index, item in enumerate(items):
        array[index] = item
    return array


def write_pickle(path: Path, content: bytes, shape: tuple[int, ...] = (1,)) -> Path:
    """A ``.npy`` file of objects whose pickle is ``content``."""
    stream = io.BytesIO()
    header = {"descr": "|O", "fortran_order": False, "shape": shape}
    np.lib.format.write_array_header_1_0(stream, header)
    path.write_bytes(stream.getvalue() + content)
    return path


class Command:
    """Unpickles by running a command."""

    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


NESTED = objects(
    np.arange(6, dtype=np.float32).reshape(2, 3),
    np.asfortranarray(np.arange(6, dtype=np.float64).reshape(2, 3)),
    np.arange(3, dtype=">i2"),
    np.array(["A", "B"]),
    np.array([b"one", b"three"]),
    objects("AH", "SIL"),
    ["<sos>", b"x", 3],
    "text",
    b"bytes",
    7,
    np.float32(1.5),
    np.bytes_(b"q"),
    np.zeros((0, 40), np.float32),
)


def assert_same(left: Any, right: Any) -> None:
    assert type(left) is type(right)
    if isinstance(left, np.ndarray):
        assert left.dtype == right.dtype
        assert left.shape == right.shape
        if left.dtype == object:
            for a, b in zip(left.flat, right.flat, strict=True):
                assert_same(a, b)
        else:
            np.testing.assert_array_equal(left, right)
    else:
        assert left == right


class TestPlainData:
    def test_what_numpy_saves_is_read_back(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", NESTED, allow_pickle=True)
        assert_same(load_array(tmp_path / "a.npy"), NESTED)

    @pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
    def test_every_pickle_protocol(self, tmp_path: Path, protocol: int) -> None:
        content = pickle.dumps(NESTED, protocol)
        path = write_pickle(tmp_path / "a.npy", content, NESTED.shape)
        assert_same(load_array(path), NESTED)

    def test_files_of_numpy_1_and_2(self, tmp_path: Path) -> None:
        content = pickle.dumps(NESTED, 2)
        other = (
            content.replace(b"numpy._core.", b"numpy.core.")
            if b"numpy._core." in content
            else content.replace(b"numpy.core.", b"numpy._core.")
        )
        assert other != content
        for name, stored in (("a.npy", content), ("b.npy", other)):
            path = write_pickle(tmp_path / name, stored, NESTED.shape)
            assert_same(load_array(path), NESTED)

    def test_arrays_without_objects_need_no_pickle(self, tmp_path: Path) -> None:
        for array in (np.arange(12.0).reshape(3, 4), np.array([b"ab", b"c"]), np.array(["ä"])):
            np.save(tmp_path / "a.npy", array)
            assert_same(load_array(tmp_path / "a.npy"), array)

    def test_objects_in_more_dimensions(self, tmp_path: Path) -> None:
        array = np.array([["a", "b"], ["c", "d"], ["e", "f"]], dtype=object)
        for ordered in (array, np.asfortranarray(array)):
            np.save(tmp_path / "a.npy", ordered, allow_pickle=True)
            assert_same(load_array(tmp_path / "a.npy"), array)


class TestMalice:
    @pytest.mark.parametrize(
        ("function", "arguments"),
        [
            (os.system, ("touch {0}",)),
            (eval, ("open({0!r}, 'w')",)),
            (exec, ("open({0!r}, 'w')",)),
            (open, ("{0}", "w")),
            (getattr, ("x", "upper")),
            (np.fromfile, ("{0}",)),
            (np.load, ("{0}",)),
            (np.frombuffer, (b"abc",)),
        ],
    )
    def test_a_pickle_that_calls_something_is_refused_and_runs_nothing(
        self, tmp_path: Path, function: Any, arguments: tuple[Any, ...]
    ) -> None:
        trace = tmp_path / "trace"
        filled = [a.format(str(trace)) if isinstance(a, str) else a for a in arguments]
        for item in (Command(function, *filled), objects(Command(function, *filled))):
            path = write_pickle(tmp_path / "train.npy", pickle.dumps(item))
            with pytest.raises(CorpusError, match=r"train\.npy: .*may be malicious") as caught:
                load_array(path)
            assert function.__name__ in str(caught.value)
            assert not trace.exists()

    def test_forged_dtype_flags_cannot_turn_bytes_into_object_pointers(
        self, tmp_path: Path
    ) -> None:
        content = pickle.dumps(objects("x"), 2)
        # Replace the list of objects by eight bytes, as a flag-forging file would.
        start = content.index(b"]q")
        forged = content[:start] + b"U\x08AAAAAAAAt" + content[content.index(b"tq", start) + 1 :]
        with pytest.raises(CorpusError, match="no readable"):
            load_array(write_pickle(tmp_path / "a.npy", forged))

    def test_a_shape_that_promises_more_than_there_is(self, tmp_path: Path) -> None:
        np.save(tmp_path / "a.npy", np.zeros(4))
        content = (tmp_path / "a.npy").read_bytes()
        (tmp_path / "a.npy").write_bytes(content.replace(b"(4,), ", b"(9000000000000,), ", 1))
        with pytest.raises(CorpusError, match=r"a\.npy"):
            load_array(tmp_path / "a.npy")
        path = write_pickle(tmp_path / "b.npy", pickle.dumps(objects("x")), (1 << 40,))
        with pytest.raises(CorpusError, match="not the array that its header describes"):
            load_array(path)

    def test_a_codec_that_unpacks(self, tmp_path: Path) -> None:
        path = write_pickle(tmp_path / "a.npy", pickle.dumps(Command(codecs.encode, "x", "rot13")))
        with pytest.raises(CorpusError, match="the codec rot13"):
            load_array(path)

    def test_nesting_without_end(self, tmp_path: Path) -> None:
        loop: list[Any] = []
        loop.append(loop)
        path = write_pickle(tmp_path / "a.npy", pickle.dumps(objects(loop)))
        with pytest.raises(CorpusError, match="nested too deeply"):
            load_array(path)


class TestDamage:
    @pytest.mark.parametrize(
        "content", [b"", b"no array", b"\x93NUMPY", b"\x93NUMPY\x01\x00\x10\x00{'descr': 1}"]
    )
    def test_not_an_array(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "a.npy").write_bytes(content)
        with pytest.raises(CorpusError, match=r"a\.npy is no readable \.npy file"):
            load_array(tmp_path / "a.npy")

    def test_missing(self, tmp_path: Path) -> None:
        with pytest.raises(CorpusError, match=r"cannot read .*a\.npy"):
            load_array(tmp_path / "a.npy")

    def test_cut_off_anywhere(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npy"
        np.save(path, NESTED, allow_pickle=True)
        content = path.read_bytes()
        for end in range(0, len(content) - 1, 7):
            path.write_bytes(content[:end])
            with pytest.raises(CorpusError, match=r"a\.npy"):
                load_array(path)

    def test_flipped_bytes_never_escape_as_another_error(self, tmp_path: Path) -> None:
        path = tmp_path / "a.npy"
        np.save(path, NESTED, allow_pickle=True)
        content = path.read_bytes()
        random = np.random.default_rng(0)
        refusals: list[str] = []
        for _ in range(300):
            changed = bytearray(content)
            changed[int(random.integers(0, len(content)))] = int(random.integers(0, 256))
            path.write_bytes(changed)
            try:
                assert isinstance(load_array(path), np.ndarray)
            except CorpusError as error:
                refusals.append(str(error))
        # Most bytes are numbers, which may be any.
        assert 0 < len(refusals) < 300
        assert all("a.npy" in refusal for refusal in refusals)

    def test_records_are_not_supported(self, tmp_path: Path) -> None:
        array = objects(np.zeros(2, dtype=[("x", "f4"), ("y", "i4")]))
        np.save(tmp_path / "a.npy", array, allow_pickle=True)
        with pytest.raises(CorpusError, match="no readable"):
            load_array(tmp_path / "a.npy")


class TestSmallFilesThatMeanMuch:
    def test_lists_that_hold_the_same_list_many_times(self, tmp_path: Path) -> None:
        inner: list[Any] = [1.5] * 200
        for _ in range(2):
            inner = [inner] * 200
        path = write_pickle(tmp_path / "a.npy", pickle.dumps(objects(inner), protocol=2))
        assert path.stat().st_size < 4_000
        with pytest.raises(CorpusError, match="means more than it holds"):
            load_array(path)

    def test_a_place_in_the_table_of_the_unpickler_that_is_billions_away(
        self, tmp_path: Path
    ) -> None:
        content = pickle.PROTO + b"\x02]" + pickle.LONG_BINPUT + b"\xff\xff\xff\xff" + b"."
        with pytest.raises(CorpusError, match="not the array that its header describes"):
            load_array(write_pickle(tmp_path / "a.npy", content))

    @pytest.mark.parametrize("opcode", [pickle.BINBYTES8, pickle.FRAME, pickle.BINUNICODE8])
    def test_a_length_beyond_the_file(self, tmp_path: Path, opcode: bytes) -> None:
        content = pickle.PROTO + b"\x05" + opcode + (1 << 40).to_bytes(8, "little") + b"ab."
        with pytest.raises(CorpusError, match="no readable"):
            load_array(write_pickle(tmp_path / "a.npy", content))

    def test_one_text_as_the_bytes_of_many_arrays(self, tmp_path: Path) -> None:
        # Python 2 wrote bytes as text: here each array names the same text, place 0.
        letters, times = 50_000, 500
        text = b"X" + letters.to_bytes(4, "little") + b"a" * letters + b"q\x000"
        array = (
            b"cnumpy.core.multiarray\n_reconstruct\n(tR(I1\n(I%d\nt" % letters
            + b"cnumpy\ndtype\n(S'u1'\ntRI00\nh\x00tb"
        )
        outer = (
            b"cnumpy.core.multiarray\n_reconstruct\n(tR(I1\n(I%d\nt" % times
            + b"cnumpy\ndtype\n(S'O'\ntRI00\n]("
            + array * times
            + b"etb."
        )
        path = write_pickle(tmp_path / "a.npy", b"\x80\x02" + text + outer, (times,))
        with pytest.raises(CorpusError, match="means more than it holds"):
            load_array(path)

    @pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs named pipes")
    def test_a_pipe_is_not_waited_for(self, tmp_path: Path) -> None:
        os.mkfifo(tmp_path / "a.npy")
        with pytest.raises(CorpusError, match="it is a pipe"):
            load_array(tmp_path / "a.npy")

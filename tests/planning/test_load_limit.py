"""What opening the file of a plan takes, before there is a file."""

from __future__ import annotations

import pytest

from quantkit.codecs.catalogue import CodecChoice
from quantkit.errors import InputError
from quantkit.graph.artifact import save_model
from quantkit.planning.load_limit import lighter, plan_load_memory, require_openable
from quantkit.planning.size import dry_build, with_sizes
from quantkit.quantization import QuantizeSettings
from quantkit.quantization.prepared import PreparedModel
from quantkit.runtime.load_memory import load_memory
from tests.whisper import exported_whisper


@pytest.mark.slow
def test_it_is_that_of_the_file_with_all_its_graphs(tmp_path_factory, tmp_path) -> None:
    source = PreparedModel(exported_whisper(tmp_path_factory))
    settings = QuantizeSettings(compute="dynamic", codec=CodecChoice.parse("grouped:4"))
    save_model(dry_build(source, settings).model, tmp_path / "file.onnx")
    assert plan_load_memory(source, with_sizes(source, settings)) == load_memory(
        tmp_path / "file.onnx"
    )


def test_the_heaviest_codecs_go_first_and_never_all() -> None:
    codecs = [*map(CodecChoice.parse, ("grouped:3", "grouped:4", "codebook:2", "native:4"))]
    assert [[str(each) for each in some] for some in lighter(codecs)] == [
        ["codebook:2", "native:4"],
        ["native:4"],
    ]
    assert [*lighter(codecs[:2])] == []


def test_a_plan_beyond_the_limit_is_refused_in_one_line(source) -> None:
    prepared = PreparedModel(source)
    made = with_sizes(prepared, QuantizeSettings(compute="dynamic"))
    peak = plan_load_memory(prepared, made).peak_bytes
    require_openable(prepared, made, peak)
    require_openable(prepared, made, None)
    with pytest.raises(InputError, match=r"more than --load-memory of .* MB: raise it"):
        require_openable(prepared, made, peak - 1)

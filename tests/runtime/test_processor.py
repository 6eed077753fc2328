"""What the system tells about the processor."""

from __future__ import annotations

from quantkit.runtime.processor import parse_cpuinfo, processor


def test_cpuinfo_of_x86_and_arm() -> None:
    x86 = "processor : 0\nmodel name : Fast CPU\nflags : fpu avx2 avx512_vnni\n\nprocessor : 1\n"
    assert parse_cpuinfo(x86) == ("Fast CPU", frozenset({"fpu", "avx2", "avx512_vnni"}))
    arm = "processor\t: 0\nFeatures\t: fp asimd asimddp\nHardware\t: Small Board\n"
    assert parse_cpuinfo(arm) == ("Small Board", frozenset({"fp", "asimd", "asimddp"}))
    assert parse_cpuinfo("") == ("", frozenset())


def test_this_machine_has_a_name() -> None:
    name, _ = processor()
    assert name

"""The name of the processor, as kernels of various architectures have it."""

from __future__ import annotations

from pathlib import Path

import pytest

from cupel.host import processor

X86 = "processor\t: 0\nmodel\t\t: 85\nmodel name\t: Intel(R)  Xeon(R)\n\nprocessor\t: 1\n"
ARM = "processor\t: 0\nCPU implementer\t: 0x41\nCPU part\t: 0xd0c\n"
PI = "processor\t: 0\nCPU part\t: 0xd0c\n\nHardware\t: BCM2711\nModel\t\t: Raspberry Pi 4\n"


@pytest.mark.parametrize(
    ("text", "name"),
    [(X86, "Intel(R) Xeon(R)"), (ARM, "0xd0c"), (PI, "Raspberry Pi 4"), ("", ""), ("x", "")],
)
def test_the_kernel_names_it(text: str, name: str, tmp_path: Path) -> None:
    file = tmp_path / "cpuinfo"
    file.write_text(text)
    assert processor.model(file) == name


def test_what_nobody_names_is_empty(tmp_path: Path) -> None:
    assert processor.model(tmp_path / "none") == ""
    long = tmp_path / "long"
    long.write_text("model name : " + "x" * 999)
    assert len(processor.model(long)) == processor.LONGEST

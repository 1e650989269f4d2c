"""The machine is described from its files; what is missing is empty, and nothing fails."""

import os
from pathlib import Path

from expd.linux.machine import survey_machine
from expproto.context import Gpu
from helpers.repositories import write_files

SMI = """#!/bin/sh
echo "$@" >> '{asked}'
echo 'NVIDIA A100-SXM4-40GB, GPU-1, 40960, 550.54'
echo 'garbage'
echo 'NVIDIA T4, GPU-2, [N/A], 550.54'
"""


def a_program(directory: Path, text: str) -> Path:
    """Make an nvidia-smi."""
    program = directory / "nvidia-smi"
    directory.mkdir(parents=True)
    program.write_text(text)
    program.chmod(0o755)
    return program


def test_this_machine_is_described() -> None:
    """Kernel, processors and memory are those that the system tells by other ways."""
    machine = survey_machine("")

    assert (machine.hostname, machine.architecture) == (os.uname().nodename, os.uname().machine)
    assert machine.kernel == f"Linux {os.uname().release}"
    assert machine.cpu_count == len(os.sched_getaffinity(0))
    assert abs(machine.memory_bytes - os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")) < 2**20
    assert machine.cpu_model


def test_a_machine_whose_files_are_missing_is_described_as_far_as_it_goes(tmp_path: Path) -> None:
    """Without /proc and /etc the kernel's own words are left, and no graphics."""
    machine = survey_machine(str(tmp_path), tmp_path)

    assert (machine.platform, machine.memory_bytes, machine.gpus) == ("Linux", 0, ())
    assert machine.cpu_model == machine.architecture


def test_graphics_are_read_from_their_driver(tmp_path: Path) -> None:
    """What the driver shows in /proc is taken, without a program being run."""
    gpus = "proc/driver/nvidia/gpus"
    write_files(
        tmp_path,
        {
            "etc/os-release": 'NAME=x\nPRETTY_NAME="Plan 9"\n',
            "proc/driver/nvidia/version": "NVRM version: NVIDIA UNIX x86_64 Kernel Module  550.54.14  Thu Feb 22\n",
            f"{gpus}/0000:01:00.0/information": "Model: \t\t NVIDIA A100\nIRQ:   24\nGPU UUID: \t GPU-1\n",
            f"{gpus}/0000:02:00.0/information": "garbage",
        },
    )
    asked = tmp_path / "asked"
    a_program(tmp_path / "bin", SMI.format(asked=asked))

    machine = survey_machine(str(tmp_path / "bin"), tmp_path)

    assert machine.platform == "Plan 9"
    assert machine.gpus == (
        Gpu(name="NVIDIA A100", uuid="GPU-1", memory_bytes=None, driver="550.54.14"),
        Gpu(name="NVIDIA", uuid=None, memory_bytes=None, driver="550.54.14"),
    )
    assert not asked.exists()


def test_graphics_without_a_driver_in_proc_are_asked_for(tmp_path: Path) -> None:
    """Where only nvidia-smi knows, it is asked; lines that make no sense are passed over."""
    a_program(tmp_path / "bin", SMI.format(asked=tmp_path / "asked"))

    machine = survey_machine(str(tmp_path / "bin"), tmp_path)

    assert machine.gpus == (
        Gpu(name="NVIDIA A100-SXM4-40GB", uuid="GPU-1", memory_bytes=40960 * 2**20, driver="550.54"),
        Gpu(name="NVIDIA T4", uuid="GPU-2", memory_bytes=None, driver="550.54"),
    )


def test_an_nvidia_smi_that_fails_means_no_graphics(tmp_path: Path) -> None:
    """It is installed in many images that run where there is no such processor."""
    a_program(tmp_path / "bin", "#!/bin/sh\necho 'NVIDIA-SMI has failed'\nexit 9\n")

    assert survey_machine(str(tmp_path / "bin"), tmp_path).gpus == ()

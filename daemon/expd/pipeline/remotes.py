"""What a DVC remote has is brought by the `dvc` of the submitter's environment: it alone knows remotes and credentials."""

import shutil
from collections.abc import Sequence

from expd.pipeline.model import DATA_FILE_SUFFIX, PROJECT_FILE, Fingerprint, PipelineError


def find_dvc(path: str) -> str:
    """Give the program `dvc` on a PATH; PipelineError says that there is none."""
    found = shutil.which("dvc", path=path)
    if found is None:
        raise PipelineError(
            path="--pull",
            expected="the program dvc on the PATH of the submitting shell, which brings the data",
            hint="install DVC in that environment, or pull beforehand and submit without --pull",
        )
    return found


def fetch_arguments(addresses: Sequence[str]) -> list[str]:
    """Give the arguments that make dvc bring the data of stages and `.dvc` files into the cache."""
    # Of data that is nowhere dvc says so in a line of its own, without a word of progress bars.
    return ["fetch", "--quiet", *map(_target, addresses)]


RUN_CACHE_ARGUMENTS = ("fetch", "--quiet", "--run-cache", "--max-size", "0")
"""The arguments that make dvc bring what it knows of runs; it would bring data as well, but for that limit."""


def data_file_text(fingerprints: Sequence[Fingerprint], name: str) -> str:
    """Give a `.dvc` file for content that stands in no file yet: what dvc needs to be asked for it."""
    outs = "".join(
        f"- md5: {fingerprint.md5}\n  hash: md5\n  path: {name}-{number}\n"
        for number, fingerprint in enumerate(fingerprints)
    )
    return f"outs:\n{outs}"


def _target(address: str) -> str:
    """Give what dvc takes for an address, also where a file has the name of a stage."""
    is_named = ":" in address or address.endswith(DATA_FILE_SUFFIX)
    return address if is_named else f"{PROJECT_FILE}:{address}"

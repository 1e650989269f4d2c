"""Commands that notice when they run twice: whatever was killed and started again, there is one of each."""

from pathlib import Path

_GUARD = """\
set -C
: > '{directory}'/"$EXPD_RUN_TOKEN" || echo "run $EXPD_RUN_TOKEN twice" >> '{directory}/violations'
exec 9<>'{directory}/{name}.lock'
flock -n 9 || echo "{name} twice at once" >> '{directory}/violations'
set +C
{script}
"""


class Guards:
    """A directory with a file for each run, made by O_EXCL, and a lock for each name, which dies with its holder."""

    def __init__(self, directory: Path) -> None:
        directory.mkdir()
        self._directory = directory

    def script(self, name: str, script: str) -> str:
        """Give a shell script that says so if its run is executed twice, or another run of the name lives beside it."""
        return _GUARD.format(directory=self._directory, name=name, script=script)

    def check(self) -> None:
        """Nothing ran twice."""
        violations = self._directory / "violations"
        assert not violations.exists(), violations.read_text()

    @property
    def runs(self) -> int:
        """Count the runs whose commands were started."""
        return sum(1 for path in self._directory.iterdir() if path.suffix != ".lock")

"""Part of the build of the wheel: man pages and completions, made of the client's own table, go into its shared data."""

import sys
import tempfile
from pathlib import Path

from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class SharedFiles(BuildHookInterface):
    """Writes the files and names them; pip and pipx put them below share/ of the prefix."""

    PLUGIN_NAME = "custom"

    def initialize(self, version, build_data):  # noqa: ANN001, ANN201 - hatchling's own signature has no types
        """Add the files to what is installed beside the packages."""
        del version
        sys.path[:0] = [str(Path(self.root, name)) for name in ("client", "protocol")]
        from expctl.render.completions import completion  # noqa: PLC0415 - the path has just been set
        from expctl.render.manual import man_pages  # noqa: PLC0415 - as above

        directory = Path(tempfile.mkdtemp(prefix="expd-shared-"))
        files = {f"share/man/man1/{name}": text for name, text in man_pages().items()}
        files["share/bash-completion/completions/expctl"] = completion("bash")
        files["share/zsh/site-functions/_expctl"] = completion("zsh")
        files["share/fish/vendor_completions.d/expctl.fish"] = completion("fish")
        for number, (place, text) in enumerate(files.items()):
            path = directory / str(number)
            path.write_text(text, encoding="utf-8")
            build_data["shared_data"][str(path)] = place

"""`expctl man`: the man pages, shown, or put where `man` looks; installers that keep them to themselves are common."""

import shutil
import subprocess

from expctl.arguments import Arguments
from expctl.output import Output
from expctl.placing import data_home, place
from expctl.render.manual import man_pages


def run(arguments: Arguments, output: Output) -> int:
    """Show a page in `man`, as roff where nobody sits before it, or install all of them."""
    pages = man_pages()
    if arguments.install:
        paths = {f"{data_home()}/man/man1/{name}": text for name, text in pages.items()}
        changed = [path for path, text in paths.items() if place(path, text)]
        for path in paths:
            output.words(f"{'written' if path in changed else 'unchanged'}: {path}")
        if output.as_json:
            output.document({"paths": list(paths), "changed": changed})
        return 0
    page = pages[f"{arguments.page or 'expctl'}.1"]
    if output.is_terminal and shutil.which("man") is not None:
        return subprocess.run(["man", "-l", "-"], input=page.encode(), check=False).returncode
    if output.as_json:
        output.document({"page": page})
    else:
        output.data(page)
    return 0

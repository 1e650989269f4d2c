"""`expctl completion`: the completion script of a shell, printed or put where that shell looks."""

import os

from expctl.arguments import Arguments
from expctl.output import Output
from expctl.placing import data_home, place
from expctl.render.completions import completion

ZSH_HINT = "zsh looks there if ~/.zshrc has, before compinit: fpath=({directory} $fpath)"


def run(arguments: Arguments, output: Output) -> int:
    """Print it, or put it into its place in the home directory."""
    shell = arguments.shell
    if not arguments.install:
        output.data(completion(shell))
        return 0
    path = _path(shell)
    changed = place(path, completion(shell))
    output.words(f"{'written' if changed else 'unchanged'}: {path}; a new {shell} completes expctl")
    if shell == "zsh":
        output.words(ZSH_HINT.format(directory=path.rpartition("/")[0]))
    if output.as_json:
        output.document({"path": path, "changed": changed})
    return 0


def _path(shell: str) -> str:
    configuration = os.environ.get("XDG_CONFIG_HOME") or f"{os.environ.get('HOME', '/nonexistent')}/.config"
    return {
        "bash": f"{data_home()}/bash-completion/completions/expctl",
        "zsh": f"{data_home()}/zsh/site-functions/_expctl",
        "fish": f"{configuration}/fish/completions/expctl.fish",
    }[shell]

"""Partial clones (`git clone --filter`): what a tree names and nobody has fetched. Nothing is fetched here."""

from expd.gitio.errors import CannotCapture
from expd.gitio.repository import SUBMODULE, Repository, git_errors
from expproto.vocabulary import Rev

_HINT = "`git archive HEAD > /dev/null` fetches what HEAD has; then submit again"


def check_promised(repository: Repository, tree: Rev) -> None:
    """Raise CannotCapture for a file whose content a partial clone does not have; other clones are not looked at."""
    if not _is_partial(repository):
        return
    files = repository.files_of(tree)
    missing = [path for path, file in files.items() if file.mode != SUBMODULE and not repository.has_object(file.rev)]
    if missing:
        more = f", nor were {len(missing) - 1} more" if len(missing) > 1 else ""
        raise CannotCapture(min(missing), f"its content was not fetched into this partial clone{more}", _HINT)


def _is_partial(repository: Repository) -> bool:
    with git_errors("the configuration can't be read"):
        return any(
            entry.name == "extensions.partialclone" or (entry.name.endswith(".promisor") and entry.value == "true")
            for entry in repository.handle.config
        )

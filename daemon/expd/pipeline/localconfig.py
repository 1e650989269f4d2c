"""The `.dvc/config.local` of a private worktree: the user's own local settings, and the user's cache."""

from pathlib import Path

from expd.pipeline.config import parse_ini


def local_config_text(project_root: Path, cache: Path) -> str:
    """Give the text: every section of the user's config.local, with `cache.dir` set (configobj's syntax)."""
    sections: dict[str, dict[str, str]] = {}
    source = project_root / ".dvc" / "config.local"
    if source.is_file():
        for section, key, value in parse_ini(source.read_text(encoding="utf-8")):
            sections.setdefault(section, {})[key] = value
    sections.setdefault("cache", {})["dir"] = str(cache)
    lines = []
    for section, settings in sections.items():
        lines.append(f"['{section}']" if '"' in section else f"[{section}]")
        lines += [f"    {key} = {value}" for key, value in settings.items()]
    return "\n".join(lines) + "\n"

"""Locations are compared as text: what is written in two ways is one place."""

import posixpath

from hypothesis import given
from hypothesis import strategies as st

from expd.pipeline.locations import relative

_paths = st.lists(st.sampled_from(["a", "b", "..", ".", "", ".git", "..x", "c.d"]), max_size=5).map("/".join)


@given(directory=_paths, below=_paths, is_below=st.booleans())
def test_a_path_is_seen_from_a_directory_as_posix_has_it(directory: str, below: str, is_below: bool) -> None:
    """However either is written, and whether it lies below or not."""
    location = f"/{directory}/{below}" if is_below else f"/{below}"

    assert relative(location, f"/{directory}") == posixpath.relpath(location, f"/{directory}")

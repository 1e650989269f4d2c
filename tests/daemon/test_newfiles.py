"""Which new files are captured: limits and names, as pure decisions over paths and sizes, and over a real directory."""

from pathlib import Path

import pytest

from expd.prepare.newfiles import NewFileLimits, NewFilesTooLarge, check_sizes, chooser, is_named, looks_like_secret

LIMITS = NewFileLimits(file_bytes_max=100, bytes_max=250, count_max=4)


@pytest.mark.parametrize(
    "path",
    [".env", "sub/.env", ".env.local", ".ENV", "key.pem", "deep/server.KEY", "id_rsa", "x/id_ed25519", ".netrc",
     ".pypirc", "credentials.json", "client_secret_123.json", "kaggle.json"],
)  # fmt: skip
def test_secret_is_known_by_its_name(path: str) -> None:
    """Whatever its directory and case, a file that is named like a secret is taken for one."""
    assert looks_like_secret(path)


@pytest.mark.parametrize(
    "path", [".env.example", "env", "keys.py", "id_rsa.pub", "credentials.py", ".envrc/x", "a.pem.md"]
)
def test_other_files_are_no_secrets(path: str) -> None:
    """Templates, public halves and code about secrets are ordinary files."""
    assert not looks_like_secret(path)


@pytest.mark.parametrize(
    ("path", "names", "expected"),
    [
        ("a/b", ["a/b"], True),
        ("a/b", ["a"], True),
        ("a/b", ["."], True),
        ("ab", ["a"], False),
        ("a", ["a/b"], False),
        ("a", [], False),
    ],
)
def test_name_stands_for_a_file_or_what_is_below_it(path: str, names: list[str], expected: bool) -> None:
    """A directory that is named stands for everything in it, and for nothing beside it."""
    assert is_named(path, names) is expected


@pytest.mark.parametrize(
    "sizes", [[], [("a", 100)], [("a", 100), ("b", 100), ("c", 50)], [(f"{n}", 1) for n in range(4)]]
)
def test_what_just_fits_is_captured(sizes: list[tuple[str, int]]) -> None:
    """A limit is the largest that is allowed."""
    check_sizes(sizes, LIMITS)


@pytest.mark.parametrize(
    ("sizes", "setting", "found"),
    [
        ([("a", 101), ("b", 1)], "new_file_bytes_max", 101),
        ([("a", 90), ("b", 90), ("c", 90)], "new_files_bytes_max", 270),
        ([(f"{n}", 1) for n in range(5)], "new_files_max", 5),
    ],
)
def test_what_is_too_much_names_its_limit(sizes: list[tuple[str, int]], setting: str, found: int) -> None:
    """The refusal says which setting it is, how much was found, and which files are the largest."""
    with pytest.raises(NewFilesTooLarge) as caught:
        check_sizes(sizes, LIMITS)

    assert (caught.value.setting, caught.value.found) == (setting, found)
    assert caught.value.largest[0] == max(sizes, key=lambda item: item[1])


def test_ten_files_are_named_at_most() -> None:
    """A refusal is for a person to read."""
    with pytest.raises(NewFilesTooLarge) as caught:
        check_sizes([(f"{n:02}", n) for n in range(30)], LIMITS)

    assert caught.value.largest == tuple((f"{n:02}", n) for n in range(29, 19, -1))


def test_choice_is_made_by_lstat(tmp_path: Path) -> None:
    """A secret counts towards no limit, nor does what a link leads to; what is gone meanwhile is passed over."""
    (tmp_path / "big").write_bytes(b"x" * 1000)
    (tmp_path / "link").symlink_to("big")
    (tmp_path / "big.pem").write_bytes(b"x" * 1000)
    choose = chooser(tmp_path, LIMITS, [])

    assert choose(["link", "big.pem", "gone"]) == ["big.pem"]
    with pytest.raises(NewFilesTooLarge):
        choose(["big"])
    with pytest.raises(NewFilesTooLarge):
        chooser(tmp_path, LIMITS, ["big.pem"])(["big.pem"])

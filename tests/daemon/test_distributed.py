"""What passes between hosts, without any: addresses, tasks, pieces of logs."""

import json
import os
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from daemon.scripted import an_order
from expd.distributed.hub import BadHub, Hub, HubFailed, HubLacks, check_hub, refs_of, shown
from expd.distributed.logpieces import complete, places_from, put, read_pieces
from expd.distributed.messages import Parcel, Task, order_of, queue_of, task_from, task_of, told_from, variables_of
from expproto.errors import RemoteProtocolError
from expproto.fields import to_map
from expproto.vocabulary import Rev
from helpers.distributed import a_hub
from helpers.repositories import git

ENTRY, CLAIM = "refs/expd/entries/s/r", "refs/expd/claims/s/r/t"
TOKEN = "0123456789abcdef" * 2
PIECES = st.lists(st.tuples(st.integers(0, 60), st.binary(min_size=1, max_size=30)), max_size=20)


def _task(repository: Path, **changed: object) -> Task:
    environment = ((b"A", b"\xff=1"), (b"B", b""))
    order = an_order(repository, repository, ("true",), run_token=TOKEN, environment=environment, **changed)
    parcel = Parcel(
        held_as=f"0a1b2c3d/{'r' * 32}",
        held_rev=Rev("1" * 40),
        cargo=None,
        author_name="Ada",
        author_email="ada@example.org",
    )
    return task_of(order, parcel, lease_seconds=5.0, pushes_data=True)


@pytest.mark.parametrize("url", ["/srv/hub.git", "ssh://git@host/hub.git", "https://host/hub.git", "file:///hub.git"])
def test_a_hub_is_a_path_or_a_listed_scheme(url: str) -> None:
    """What says who is there, and can't be read on the way."""
    assert check_hub(url) == url


@pytest.mark.parametrize(
    "url",
    [
        "", "hub.git", "../hub.git", "git@host:hub.git", "--upload-pack=touch /tmp/x", "-oProxyCommand=x", "ext::sh -c x",
        "ext::https://host/x", "git://host/hub.git", "http://host/hub.git", "ssh://-oProxyCommand=x/hub.git", "ssh://host/\nx",
        "fd::17", "transport::address",
    ],
)  # fmt: skip
def test_no_other_address_is_a_hub(url: str) -> None:
    """No program, no option, no transport in the clear."""
    with pytest.raises(BadHub):
        check_hub(url)


def test_an_address_is_shown_without_its_password() -> None:
    """Whatever is told of a hub goes into logs."""
    assert shown("https://ada:secret@host/hub.git") == "https://ada:***@host/hub.git"
    assert shown("ssh://git@host/hub.git") == "ssh://git@host/hub.git"


async def test_a_ref_is_claimed_by_one(repository: Path, tmp_path: Path) -> None:
    """The second is refused, and the first may ask again: its answer may have been lost."""
    hub = Hub(url=str(a_hub(tmp_path / "hub.git")), git_directory=repository / ".git")
    first, second = (Rev(git(repository, "commit-tree", "-m", text, "HEAD^{tree}")) for text in ("one", "two"))

    assert await hub.push_new({CLAIM: first}, while_there={})
    assert not await hub.push_new({CLAIM: second}, while_there={})
    assert await hub.push_new({CLAIM: first}, while_there={})
    assert await hub.list_refs(["refs/expd/claims/*"]) == {CLAIM: first}


async def test_nothing_is_put_beside_what_is_gone(repository: Path, tmp_path: Path) -> None:
    """A claim needs its submission, a result its claim: where that is not there, or is another, none of it comes to be."""
    hub = Hub(url=str(a_hub(tmp_path / "hub.git")), git_directory=repository / ".git")
    held, other = (Rev(git(repository, "commit-tree", "-m", text, "HEAD^{tree}")) for text in ("one", "two"))
    await hub.push({ENTRY: held})

    assert await hub.push_new({CLAIM: other}, while_there={ENTRY: held})
    assert not await hub.push_new({f"{CLAIM}2": other, f"{CLAIM}3": other}, while_there={ENTRY: other})
    await hub.delete([ENTRY, "refs/expd/entries/s/never"])
    assert not await hub.push_new({f"{CLAIM}2": other, f"{CLAIM}3": other}, while_there={ENTRY: held})
    assert list(await hub.list_refs([refs_of("s")])) == [CLAIM]


async def test_what_is_not_on_a_hub_is_no_failure_of_it(repository: Path, tmp_path: Path) -> None:
    """A ref that is not there and a hub that is not there are two things."""
    there = Hub(url=str(a_hub(tmp_path / "hub.git")), git_directory=repository / ".git")
    with pytest.raises(HubLacks):
        await there.fetch(["refs/expd/none:refs/expd/none"])
    with pytest.raises(HubFailed) as failed:
        await Hub(url=str(tmp_path / "none.git"), git_directory=repository / ".git").list_refs([])
    assert not isinstance(failed.value, HubLacks)


async def test_the_transport_is_refused_by_git_too(repository: Path, tmp_path: Path) -> None:
    """An address that came past the check starts no program."""
    hub = Hub(url=f"ext::touch {tmp_path / 'made'}", git_directory=repository / ".git")
    with pytest.raises(HubFailed):
        await hub.list_refs([])
    assert not (tmp_path / "made").exists()


def test_a_task_is_json_and_says_nothing_of_this_host(repository: Path) -> None:
    """It reads as it was written, variables byte for byte; no path of the submitter is in its order."""
    task = _task(repository)
    text = json.dumps(to_map(task))

    assert task_from(json.loads(text)) == task_from(to_map(task))
    assert variables_of(task) == {b"A": b"\xff=1", b"B": b""}
    assert str(repository) not in text
    assert order_of(task).environment == ()


@pytest.mark.parametrize(
    "changed",
    [
        {"store": "../../x"}, {"token": "a/b"}, {"held_as": "0a1b2c3d/../../heads/main"}, {"held_as": "other/rrrrrrrr"},
        {"cargo": "refs/heads/main"}, {"stash_rev": "HEAD"}, {"stash_rev": "--upload-pack=x"}, {"token": "f" * 32}, {"format": 2}, {"more": 1}, {"order": {}},
    ],
)  # fmt: skip
def test_a_task_that_names_what_can_not_be_is_passed_over(repository: Path, changed: dict[str, object]) -> None:
    """Nothing of a message becomes a ref, an option or another's order."""
    with pytest.raises(RemoteProtocolError):
        task_from({**to_map(_task(repository)), **changed})


@given(
    st.recursive(
        st.none() | st.integers() | st.text(), lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner)
    )
)
def test_what_no_worker_says_is_refused(value: object) -> None:
    """Whatever JSON comes: one kind of error."""
    with pytest.raises(RemoteProtocolError):
        told_from(value)


@pytest.mark.parametrize("name", ["", "a b", "../x", "-x", "a" * 65])
def test_a_queue_has_a_plain_name(name: str) -> None:
    """It becomes part of keys and exchanges of a broker."""
    with pytest.raises(ValueError, match="no name of a queue"):
        queue_of(name)


@given(PIECES)
def test_pieces_that_come_twice_or_overlap_change_nothing_that_is_there(pieces: list[tuple[int, bytes]]) -> None:
    """Output is added behind what is there, whoever sent it again."""
    path = Path(os.environ.get("TMPDIR", "/tmp"), f"expd-pieces-{os.getpid()}")
    path.unlink(missing_ok=True)
    seen = b""
    for offset, data in pieces:
        put(path, offset, data)
        now = path.read_bytes()
        assert now[: len(seen)] == seen
        assert len(now) == max(len(seen), offset + len(data))
        seen = now
    path.unlink(missing_ok=True)


def test_a_log_with_its_middle_cut_out_travels_as_it_is(tmp_path: Path) -> None:
    """A hole stays a hole, and costs nothing on the way."""
    there, here = tmp_path / "there", tmp_path / "here"
    with there.open("wb") as file:
        file.write(b"first\n")
        file.seek(2**20)
        file.write(b"last\n")
    here.write_bytes(b"first\n")

    places, data = read_pieces(there)
    assert len(data) < 2**20
    assert complete(here, places_from(json.dumps(places).encode(), len(data)), data)
    assert here.read_bytes() == there.read_bytes()


def test_a_log_that_differs_is_made_the_same_and_told(tmp_path: Path) -> None:
    """What was streamed is compared with what was written."""
    path = tmp_path / "log"
    path.write_bytes(b"abXdef and more")

    assert not complete(path, [(0, 6)], b"abcdef")
    assert path.read_bytes() == b"abcdef"


@pytest.mark.parametrize("document", [b"", b"{}", b"[1]", b"[[0, -1]]", b"[[-1, 5]]", b"[[0, 4]]", b"[[0, 5], null]"])
def test_places_that_do_not_fit_are_refused(document: bytes) -> None:
    """A log of five bytes has places for five."""
    with pytest.raises(RemoteProtocolError):
        places_from(document, 5)

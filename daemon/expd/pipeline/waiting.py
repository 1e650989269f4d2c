"""Which stages of a plan have to wait for which, so that side by side they find and leave what one after the other would.

Promise: pure. Outputs are disjoint, so two stages can only disturb each other where one reads what the other makes, or
reads the .gitignore or dvc.lock that is written after the other. Whoever comes later in the plan waits.
"""

import posixpath
from collections.abc import Container, Iterator, Sequence

from expd.pipeline.graph import Graph
from expd.pipeline.locations import ancestors
from expd.pipeline.model import LOCK_FILE, DataFile, Stage


def waits(order: Sequence[Stage], graph: Graph) -> dict[str, frozenset[str]]:
    """Give for each stage of the plan the earlier ones that must have been written down before it is looked at."""
    addresses = [stage.address for stage in order]
    position = {address: index for index, address in enumerate(addresses)}
    found: dict[str, set[str]] = {address: set() for address in addresses}
    for address in addresses:
        for producer in _producers(address, graph, position):
            first, second = sorted((address, producer), key=position.__getitem__)
            found[second].add(first)
    written: dict[str, int] = {}
    for index, stage in enumerate(order):
        last = max((written.get(read.location, -1) for read in stage.reads), default=-1)
        found[stage.address].update(addresses[: last + 1])  # files are written in the order of the plan
        for file in _written_files(stage):
            written.update(dict.fromkeys((file, *ancestors(file)), index))
    return {address: frozenset(others) for address, others in found.items()}


def _producers(address: str, graph: Graph, planned: Container[str]) -> set[str]:
    """Give the planned stages that one reads from: directly, or through `.dvc` files, whose data no command makes."""
    found = set[str]()
    unseen = list(graph.producers[address])
    while unseen:
        producer = unseen.pop()
        if producer in planned:
            found.add(producer)
        elif isinstance(graph.nodes[producer], DataFile):
            unseen.extend(graph.producers[producer])
    return found


def _written_files(stage: Stage) -> Iterator[str]:
    """Give the files that are written after a stage, whether they have to be or not."""
    yield posixpath.join(stage.directory, LOCK_FILE)
    for out in stage.outs:
        if out.cache:
            yield posixpath.join(posixpath.dirname(out.location), ".gitignore")

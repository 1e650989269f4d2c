"""Who needs whom, and in which order stages run (dvc/repo/graph.py, reproduce.py).

Promise: pure and linear in the number of declared paths. Edges go from a stage to the producers of what it reads: an
output that equals a dependency, contains it, or lies below it. The order is a depth-first post-order over the nodes as
given, along dependencies as declared.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TypeAlias

from expd.pipeline.locations import ancestors, locate
from expd.pipeline.model import DataFile, GraphError, Output, Stage

Node: TypeAlias = Stage | DataFile


@dataclass(frozen=True, slots=True)
class Graph:
    """Nodes in reading order; `producers` holds, for each address, the addresses it reads from."""

    nodes: Mapping[str, Node]
    producers: Mapping[str, tuple[str, ...]]

    def order(self, targets: Sequence[str] | None = None) -> list[str]:
        """Addresses so that producers come first: all of them, or what the targets need, and the targets."""
        active = {address: self._active_producers(address) for address in self.nodes}
        wanted = set(active) if targets is None else set(_post_order(list(targets), active))
        return _post_order([address for address in self.nodes if address in wanted], active)

    def consumers(self) -> dict[str, tuple[str, ...]]:
        """For each address, those that read from it, a frozen stage reading from nobody."""
        found: dict[str, list[str]] = {address: [] for address in self.nodes}
        for address in self.nodes:
            for producer in self._active_producers(address):
                found[producer].append(address)
        return {address: tuple(readers) for address, readers in found.items()}

    def downstream(self, targets: Sequence[str]) -> list[str]:
        """The targets and everything that reads from them, producers first."""
        wanted = set(_post_order(list(targets), self.consumers()))
        return [address for address in self.order() if address in wanted]

    def connected(self, targets: Sequence[str]) -> list[str]:
        """Every node of the pipelines that the targets belong to, producers first."""
        consumers = self.consumers()
        both = {address: (*self._active_producers(address), *consumers[address]) for address in self.nodes}
        wanted = set(_post_order(list(targets), both))
        return [address for address in self.order() if address in wanted]

    def _active_producers(self, address: str) -> tuple[str, ...]:
        return () if self.nodes[address].frozen else self.producers[address]


def build_graph(nodes: Sequence[Node], root: str) -> Graph:
    """Connect the nodes. GraphError for a duplicate or overlapping output, a file of DVC in an output, or a cycle."""
    outputs = _Outputs()
    for node in nodes:
        for out in node.outs:
            outputs.add(node, out)
    for node in nodes:
        outputs.check_outside(node, root)
    producers = {node.address: _producers(node, outputs) for node in nodes}
    graph = Graph({node.address: node for node in nodes}, producers)
    _check_acyclic(graph)
    return graph


def _producers(node: Node, outputs: "_Outputs") -> tuple[str, ...]:
    reads = node.reads if isinstance(node, Stage) else node.deps
    found = (owner.address for dependency in reads for owner in outputs.overlapping(dependency.location))
    return tuple(dict.fromkeys(found))


@dataclass(slots=True)
class _Branch:
    """A directory in the tree of declared outputs."""

    children: dict[str, "_Branch"] = field(default_factory=dict)
    owner: Node | None = None
    out: Output | None = None

    def owners(self) -> Iterator[Node]:
        if self.owner is not None:
            yield self.owner
        for child in self.children.values():
            yield from child.owners()


class _Outputs:
    """Every declared output by where it is."""

    def __init__(self) -> None:
        self._top = _Branch()

    def add(self, node: Node, out: Output) -> None:
        """Enter an output that neither repeats nor overlaps another."""
        branch = self._top
        for part in _parts(out.location):
            if branch.owner is not None:
                raise _overlap(branch, node, out)
            branch = branch.children.setdefault(part, _Branch())
        if branch.owner is not None:
            raise GraphError(
                path=out.path,
                expected=f"one stage that writes it, not {branch.owner.address} and {node.address}",
                stages=(branch.owner.address, node.address),
            )
        for owner in branch.owners():
            raise GraphError(
                path=out.path,
                expected=f"no output of {owner.address} inside this output of {node.address}",
                stages=(node.address, owner.address),
            )
        branch.owner, branch.out = node, out

    def check_outside(self, node: Node, root: str) -> None:
        """No file that describes stages may lie in an output."""
        location = locate(root, node.dvcyaml if isinstance(node, Stage) else node.path)
        for owner in self._at_or_above(location):
            raise GraphError(
                path=owner.address,
                expected=f"no file of DVC inside an output, as {node.address} is",
                stages=(owner.address, node.address),
            )

    def overlapping(self, location: str) -> Iterator[Node]:
        """The owners of outputs at, above or below a location."""
        yield from self._at_or_above(location)
        branch: _Branch | None = self._top
        for part in _parts(location):
            branch = branch.children.get(part) if branch is not None else None
        if branch is not None:
            yield from branch.owners()

    def _at_or_above(self, location: str) -> Iterator[Node]:
        branch = self._top
        for part in _parts(location):
            if part not in branch.children:
                return
            branch = branch.children[part]
            if branch.owner is not None:
                yield branch.owner


def _overlap(above: _Branch, node: Node, out: Output) -> GraphError:
    owner = above.owner.address if above.owner is not None else ""
    outer = above.out.path if above.out is not None else ""
    return GraphError(
        path=out.path,
        expected=f"an output of {node.address} outside '{outer}', which {owner} writes",
        hint="track them as one, or in separate directories",
        stages=(owner, node.address),
    )


def _parts(location: str) -> list[str]:
    return location.strip("/").split("/")


def _post_order(starts: Sequence[str], edges: Mapping[str, Sequence[str]]) -> list[str]:
    """Depth-first post-order without recursion: a chain of a thousand stages is nothing special."""
    done: dict[str, None] = {}
    entered: set[str] = set()
    for start in starts:
        if start in entered:
            continue
        entered.add(start)
        stack = [(start, iter(edges[start]))]
        while stack:
            address, rest = stack[-1]
            following = next((other for other in rest if other not in entered), None)
            if following is None:
                done[address] = None
                stack.pop()
            else:
                entered.add(following)
                stack.append((following, iter(edges[following])))
    return list(done)


def _check_acyclic(graph: Graph) -> None:
    """GraphError naming the stages of a cycle, if there is one: in a post-order, producers have come first."""
    position = {address: index for index, address in enumerate(_post_order(list(graph.nodes), graph.producers))}
    for address, producers in graph.producers.items():
        for producer in producers:
            if position[producer] >= position[address]:
                cycle = _path(graph, producer, address)
                raise GraphError(
                    path=address, expected=f"no cycle among {', '.join(cycle)}", stages=cycle, hint="cut one dependency"
                )


def _path(graph: Graph, start: str, goal: str) -> tuple[str, ...]:
    """The addresses along producers from `start` to `goal`."""
    came_from = {start: start}
    waiting = [start]
    while waiting:
        address = waiting.pop()
        for producer in graph.producers[address]:
            if producer not in came_from:
                came_from[producer] = address
                waiting.append(producer)
    path = [goal]
    while path[-1] != start:
        path.append(came_from[path[-1]])
    return tuple(reversed(path))


def is_tracked(location: str, tracked: Mapping[str, object]) -> bool:
    """Whether a location is one of the `tracked` ones or lies below one."""
    return location in tracked or any(parent in tracked for parent in ancestors(location))

"""Who needs whom, in which order, and what is refused."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expd.pipeline.graph import build_graph
from expd.pipeline.model import Dependency, GraphError, Output, Stage

ROOT = "/root"


def a_stage(name: str, deps: tuple[str, ...] = (), outs: tuple[str, ...] = (), *, frozen: bool = False) -> Stage:
    """A stage of the dvc.yaml at the root."""
    return Stage(
        name=name,
        dvcyaml="dvc.yaml",
        directory=ROOT,
        wdir=ROOT,
        commands="run",
        deps=tuple(Dependency(path=path, location=f"{ROOT}/{path}") for path in deps),
        outs=tuple(Output(path=path, location=f"{ROOT}/{path}") for path in outs),
        frozen=frozen,
    )


@st.composite
def acyclic_stages(draw: st.DrawFn) -> list[Stage]:
    """Stages of which each reads some that were drawn before it, in any order of the file."""
    count = draw(st.integers(1, 12))
    stages = []
    for number in range(count):
        read = draw(st.sets(st.integers(0, max(number - 1, 0)), max_size=4)) if number else set()
        stages.append(a_stage(f"s{number}", tuple(f"o{other}" for other in sorted(read)), (f"o{number}",)))
    return draw(st.permutations(stages))


@given(acyclic_stages())
def test_producers_come_first(stages: list[Stage]) -> None:
    """In the order of any project each stage stands behind everything it reads, and none is lost or repeated."""
    graph = build_graph(stages, ROOT)
    order = graph.order()
    assert sorted(order) == sorted(graph.nodes)
    for address, producers in graph.producers.items():
        assert all(order.index(producer) < order.index(address) for producer in producers)


@given(acyclic_stages(), st.data())
def test_a_target_brings_what_it_needs_and_no_more(stages: list[Stage], data: st.DataObject) -> None:
    """The plan of a target is everything reachable from it along what is read."""
    graph = build_graph(stages, ROOT)
    target = data.draw(st.sampled_from([stage.address for stage in stages]))
    needed, waiting = {target}, [target]
    while waiting:
        for producer in graph.producers[waiting.pop()]:
            if producer not in needed:
                needed.add(producer)
                waiting.append(producer)
    assert set(graph.order([target])) == needed
    assert target in graph.downstream([target])
    assert needed <= set(graph.connected([target]))


@pytest.mark.parametrize(
    ("dep", "out"),
    [("d", "d"), ("d/x/y", "d"), ("d", "d/x/y"), ("d/.", "d")],
    ids=["equal", "inside", "around", "written otherwise"],
)
def test_a_path_connects_by_equality_and_containment(dep: str, out: str) -> None:
    """A dependency on an output, on something in it, or on a directory around it makes an edge."""
    reader = a_stage("reader", (dep.removesuffix("/."),))
    graph = build_graph([reader, a_stage("writer", (), (out,))], ROOT)
    assert graph.producers["reader"] == ("writer",)


def test_a_common_prefix_of_names_is_no_edge() -> None:
    """`data2` does not lie in `data`."""
    graph = build_graph([a_stage("reader", ("data2",)), a_stage("writer", (), ("data",))], ROOT)
    assert graph.producers["reader"] == ()


REFUSED = {
    "cycle": ([a_stage("a", ("x",), ("y",)), a_stage("b", ("y",), ("x",))], {"a", "b"}),
    "long cycle": (
        [
            a_stage("a", ("z",), ("x",)),
            a_stage("b", ("x",), ("y",)),
            a_stage("c", ("y",), ("z",)),
            a_stage("d", ("z",)),
        ],
        {"a", "b", "c"},
    ),
    "own output": ([a_stage("a", ("x",), ("x/y",))], {"a"}),
    "same output": ([a_stage("a", (), ("x",)), a_stage("b", (), ("x",))], {"a", "b"}),
    "output in output": ([a_stage("a", (), ("x",)), a_stage("b", (), ("x/y",))], {"a", "b"}),
    "output around output": ([a_stage("a", (), ("x/y",)), a_stage("b", (), ("x",))], {"a", "b"}),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_together_names_the_stages(name: str) -> None:
    """A cycle or outputs that overlap are errors that name every stage involved."""
    stages, involved = REFUSED[name]
    with pytest.raises(GraphError) as caught:
        build_graph(stages, ROOT)
    assert set(caught.value.stages) == involved


def test_a_dvc_yaml_inside_an_output_is_refused() -> None:
    """A stage may not write the directory that describes it."""
    out = Output(path="d", location=f"{ROOT}/d")
    stage = Stage(name="a", dvcyaml="d/dvc.yaml", directory=f"{ROOT}/d", wdir=ROOT, commands="x", outs=(out,))
    with pytest.raises(GraphError) as caught:
        build_graph([stage], ROOT)
    assert set(caught.value.stages) == {"d/dvc.yaml:a"}


def test_a_frozen_stage_is_cut_from_its_producers() -> None:
    """What only a frozen stage reads is not in the plan of its consumers."""
    stages = [a_stage("a", (), ("x",)), a_stage("b", ("x",), ("y",), frozen=True), a_stage("c", ("y",))]
    graph = build_graph(stages, ROOT)
    assert graph.order(["c"]) == ["b", "c"]
    assert graph.downstream(["a"]) == ["a"]


def test_a_chain_of_five_thousand_stages_is_ordered() -> None:
    """Depth is no limit: nothing recurses along the pipeline."""
    stages = [a_stage(f"s{number}", (f"o{number - 1}",), (f"o{number}",)) for number in range(5000)]
    order = build_graph(stages[::-1], ROOT).order(["s4999"])
    assert order == [stage.address for stage in stages]

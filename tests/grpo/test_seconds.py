"""What each part of a step takes, counted once."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from unidoc_rl.grpo.seconds import Seconds

PARTS = ("learn", "play", "score")
# A part, how long it takes before and after what is inside it, and that.
Step = tuple[str, int, list["Step"]]
STEPS: st.SearchStrategy[Step] = st.recursive(
    st.tuples(st.sampled_from(PARTS), st.integers(0, 9), st.just([])),
    lambda inner: st.tuples(st.sampled_from(PARTS), st.integers(0, 9), st.lists(inner, max_size=3)),
    max_leaves=12,
)


@given(st.lists(STEPS, max_size=3))
def test_each_second_counts_for_the_innermost_part(steps: list[Step]) -> None:
    now, wanted = 0, dict.fromkeys(PARTS, 0)
    seconds = Seconds(lambda: now)

    def go(step: Step) -> None:
        nonlocal now
        part, own, inner = step
        with seconds.of(part):
            now += own
            wanted[part] += own
            for one in inner:
                go(one)

    for step in steps:
        go(step)
    taken = seconds.take()
    assert {part: taken.get(part, 0) for part in PARTS} == wanted
    assert not seconds.take()

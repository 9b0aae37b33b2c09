"""The gates between a candidate and the alias `champion`: each says whether it is passed, and by how much it is not."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from unidoc_rl.intervals import difference, points
from unidoc_rl.params import PromoteParams
from unidoc_rl.plural import counted

Evaluated = Mapping[str, Any]  # a policy's part of evaluation.json
JUDGE = "judge"
OTHER = {"questions": "other questions", "corpus": "other documents", "index": "another index", JUDGE: "another judge"}
FEWEST = 5  # questions of a kind, of which it can be said that it is worse


@dataclass(frozen=True, slots=True)
class Gate:
    name: str
    passed: bool
    said: str


def gates(own: Evaluated, champion: Evaluated | None, params: PromoteParams) -> list[Gate]:
    """In the order in which they are told; those that compare, where there is a champion to compare with."""
    found = [_minimum(own, params), _void(own, params)]
    if params.seconds is not None:
        found.append(_seconds(own, params.seconds))
    if champion is not None:
        found += _compared(own, champion, params)
    return found


def _minimum(own: Evaluated, params: PromoteParams) -> Gate:
    value = own["accuracy"]["value"]
    return Gate("minimum", value >= params.minimum, f"accuracy {value:.1%}; asked for {params.minimum:.1%}")


def _void(own: Evaluated, params: PromoteParams) -> Gate:
    share = own["void"] / max(1, own["void"] + own["accuracy"]["count"])
    return Gate("void", share <= params.void, f"{share:.1%} of the episodes are void; allowed {params.void:.1%}")


def _seconds(own: Evaluated, most: float) -> Gate:
    value = own["figures"]["seconds"]["value"]
    return Gate("seconds", value <= most, f"{value:.2f} s a question; allowed {most:.2f} s")


def _compared(own: Evaluated, champion: Evaluated, params: PromoteParams) -> Iterator[Gate]:
    mine, its = own["inputs"], champion["inputs"]
    named = mine.keys() & its.keys()  # an evaluation may name no judge
    other = [told for what, told in OTHER.items() if what in named and mine[what] != its[what]]
    both = [uid for uid in own["rows"] if uid in champion["rows"]]
    if other or not both:  # a question of another file may have the same uid
        of = ", ".join(other) or OTHER["questions"]
        said = f"the champion was evaluated with {of}; evaluate with --beside champion, which plays the same"
        yield Gate("gain", False, said)
        return
    before, now = ([one["rows"][uid]["value"] for uid in both] for one in (champion, own))
    gain = difference(before, now)
    yield Gate(
        "gain",
        gain.low > params.gain,
        f"{gain} over the champion, on {counted(len(both), 'question')}; the interval must lie above "
        f"{points(params.gain)} points",
    )
    kinds: dict[str, list[str]] = {}
    for uid in both:
        kinds.setdefault(own["rows"][uid]["kind"], []).append(uid)
    for kind, uids in sorted(kinds.items()):
        before, now = ([one["rows"][uid]["value"] for uid in uids] for one in (champion, own))
        more = (sum(now) - sum(before)) / len(uids)
        said = f"{points(more)} points over the champion, on {counted(len(uids), 'question')}; "
        said += f"may be {100 * params.worse:.1f} points worse"
        if len(uids) < FEWEST:
            said += f"; of fewer than {FEWEST}, nothing can be said"
        yield Gate(f"kind {kind}", len(uids) < FEWEST or more >= -params.worse, said)

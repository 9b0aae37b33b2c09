"""Episodes as traces in MLflow: what was said and shown, turn by turn, and what it earned."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import asdict
from typing import Any

from unidoc_rl.agent.pictures import Pictures
from unidoc_rl.agent.trajectories import answer_of
from unidoc_rl.agent.view import as_text
from unidoc_rl.types import Answer, Content, Picture, Trajectory, Turn

MOST = 20  # of an evaluation: each holds its pictures


def told(one: Trajectory, pictures: Pictures) -> dict[str, Any]:
    """As `tracking.Run.trace` takes it."""
    question, scores = one.question, one.scores
    return {
        "inputs": {"question": question.query},
        "outputs": {"answer": answer_of(one), "outcome": one.outcome.value},
        "spans": list(_spans(one, pictures)),
        "expected": question.answer,
        "feedback": {"reward": scores.total, **scores.parts} if scores else {},
        "why": scores.judged if scores else "",
    }


def _spans(one: Trajectory, pictures: Pictures) -> Iterator[dict[str, Any]]:
    """Of each turn, what the policy wrote to what it was shown last, and what the environment then did."""
    shown: Content = (one.question.query,)
    for number, turn in enumerate(one.turns, start=1):
        yield {
            "name": f"turn {number}",
            "type": "CHAT_MODEL",
            "inputs": {"messages": [{"role": "user", "content": _blocks(shown, pictures)}]},
            "outputs": {"role": "assistant", "content": turn.reply.text},
            "seconds": turn.reply.seconds,
        }
        if not isinstance(turn.said.action, Answer):
            yield _done(turn)
        shown = turn.observation


def _done(turn: Turn) -> dict[str, Any]:
    action = turn.said.action
    pages = [part.page for part in turn.observation if isinstance(part, Picture)]
    return {
        "name": type(action).__name__.lower(),
        "type": "TOOL",
        "inputs": asdict(action),
        "outputs": {"pages": pages, "told": " ".join(part for part in turn.observation if isinstance(part, str))},
        "seconds": turn.seconds,
    }


def _blocks(content: Content, pictures: Pictures) -> list[dict[str, Any]]:
    return [
        {"type": "text", "text": part}
        if isinstance(part, str)
        else {"type": "image_url", "image_url": {"url": as_text(pictures, part)}}
        for part in content
    ]

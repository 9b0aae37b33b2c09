"""Traces in MLflow: an episode as it went, with its pictures, what was expected of it, and what it earned.

A trace is told of as data: {"inputs", "outputs", "spans": [{"name", "type", "inputs", "outputs", "seconds"}],
"expected", "feedback": {name: value}, "why"}. It may be sent twice, and is there once.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Trace

NAME = "unidoc.trace"  # the tag by which a trace is found again


def send(client: MlflowClient, experiment: str, run_id: str, event: Mapping[str, Any]) -> None:
    """To where MLflow looks by itself, which must be where the client is.

    MLflow passes over what it cannot send; so the trace is looked for, before and after.
    """
    from mlflow.exceptions import MlflowException

    digest = hashlib.sha256(event["name"].encode()).hexdigest()[:32]  # a filter takes no apostrophe, and a tag is short
    name = f"{run_id}/{digest}"
    found = _known(client, experiment, name)
    if found is None:
        _make(experiment, run_id, name, event)
        found = _known(client, experiment, name)
    if found is None:
        raise MlflowException(f"the trace of {event['name']} did not arrive")
    _judge(found, event["told"])


def _known(client: MlflowClient, experiment: str, name: str) -> Trace | None:
    found = client.search_traces(
        locations=[experiment], filter_string=f"tag.`{NAME}` = '{name}'", max_results=1, include_spans=False
    )
    return found[0] if found else None


def _make(experiment: str, run_id: str, name: str, event: Mapping[str, Any]) -> None:
    import mlflow

    told = event["told"]
    seconds = sum(span["seconds"] for span in told["spans"])
    at = event["at"] - int(seconds * 1e9)
    root = mlflow.start_span_no_context(
        event["name"],
        "AGENT",
        inputs=told["inputs"],
        tags={NAME: name},
        metadata={"mlflow.sourceRun": run_id},
        experiment_id=experiment,
        start_time_ns=at,
    )
    for one in told["spans"]:
        span = mlflow.start_span_no_context(
            one["name"], one["type"], parent_span=root, inputs=one["inputs"], start_time_ns=at
        )
        at += int(one["seconds"] * 1e9)
        span.end(outputs=one["outputs"], end_time_ns=at)
    root.end(outputs=told["outputs"], end_time_ns=event["at"])


def _judge(found: Trace, told: Mapping[str, Any]) -> None:
    """What it is not judged by yet."""
    import mlflow
    from mlflow.entities import AssessmentSource

    by = AssessmentSource(source_type="CODE", source_id="unidoc-rl")
    known = {one.name for one in found.info.assessments}
    if "expected" not in known:
        mlflow.log_expectation(trace_id=found.info.trace_id, name="expected", value=told["expected"], source=by)
    for name, value in told["feedback"].items():
        if name not in known:
            why = told["why"] if name == "answer" else None
            mlflow.log_feedback(trace_id=found.info.trace_id, name=name, value=value, source=by, rationale=why)

"""Many episodes, played by a policy: so many at once, and what has ended is written down at once."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from unidoc_rl import progress
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.environment import Environment
from unidoc_rl.agent.policy import Failed, Policy
from unidoc_rl.types import Outcome, Question, Trajectory

Job = tuple[Question, int]  # a question, and which attempt at it


def play(jobs: Iterable[Job], environment: Environment, policy: Policy, at_once: int) -> Iterator[Trajectory]:
    """Episodes as they end; one that ends makes room for the next."""
    waiting = iter(jobs)
    playing = [environment.reset(*job) for job in islice(waiting, at_once)]
    while playing:
        replies = policy.reply(playing)
        going, heard = [], []
        for episode, reply in zip(playing, replies, strict=True):
            if isinstance(reply, Failed):
                episode.outcome, episode.failure = reply.outcome, reply.reason
            else:
                going.append(episode)
                heard.append(reply)
        environment.step(going, heard)
        yield from (episode.trajectory(policy.name) for episode in playing if episode.outcome is not None)
        playing = [episode for episode in playing if episode.outcome is None]
        playing += [environment.reset(*job) for job in islice(waiting, at_once - len(playing))]


def rollouts(
    questions: Sequence[Question], samples: int, environment: Environment, policy: Policy, at_once: int, out: Path
) -> dict[str, int]:
    """Plays each question so many times into the file `out`, and counts outcomes; what it holds is not played again.

    What was void is not written, and so is played again by the next run.
    """
    jobs = [(question, sample) for question in questions for sample in range(samples)]
    done, file = trajectories.resume(out)
    finished = set(done)
    left = [job for job in jobs if (job[0].uid, job[1]) not in finished]
    outcomes = dict.fromkeys(Outcome, 0)
    with file, progress.bar(len(jobs), "playing", "episode", done=len(jobs) - len(left)) as bar:
        for trajectory in play(left, environment, policy, at_once):
            outcomes[trajectory.outcome] += 1
            if trajectory.outcome is Outcome.VOID:
                progress.tell(f"{trajectory.question.uid}: void: {trajectory.failure}")
            else:
                file.write(trajectories.to_line(trajectory))
                file.flush()
            bar.update()
    return {outcome.value: count for outcome, count in outcomes.items()}

"""Many episodes, played by a policy: so many at once, and what has ended is written down at once."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import islice
from pathlib import Path

from unidoc_rl import progress
from unidoc_rl.agent import trajectories
from unidoc_rl.agent.environment import Environment, Episode
from unidoc_rl.agent.policy import Failed, Policy
from unidoc_rl.errors import UnidocError
from unidoc_rl.many import as_made, is_over
from unidoc_rl.types import Outcome, Question, Trajectory

Job = tuple[Question, int]  # a question, and which attempt at it
Play = Callable[[Iterable[Job], Environment, Policy, int], Iterator[Trajectory]]


def play(jobs: Iterable[Job], environment: Environment, policy: Policy, at_once: int) -> Iterator[Trajectory]:
    """Episodes as they end, turn by turn together; one that ends makes room for the next."""
    waiting = iter(jobs)
    playing = [environment.reset(*job) for job in islice(waiting, at_once)]
    while playing:
        take_turn(playing, environment, policy)
        yield from (episode.trajectory(policy.name) for episode in playing if episode.outcome is not None)
        playing = [episode for episode in playing if episode.outcome is None]
        playing += [environment.reset(*job) for job in islice(waiting, at_once - len(playing))]


def play_apart(jobs: Iterable[Job], environment: Environment, policy: Policy, at_once: int) -> Iterator[Trajectory]:
    """Likewise, each in its own time: for policies that wait for servers, and ask them more than once in a turn."""

    def played(job: Job) -> Trajectory:
        episode = environment.reset(*job)
        play_on(episode, environment, policy)
        return episode.trajectory(policy.name)

    return as_made(played, jobs, at_once)


def play_on(episode: Episode, environment: Environment, policy: Policy) -> None:
    """To its end, unless nobody waits for it any longer."""
    while episode.outcome is None:
        if is_over():
            episode.outcome, episode.failure = Outcome.VOID, "interrupted"
        else:
            take_turn([episode], environment, policy)


def take_turn(playing: Sequence[Episode], environment: Environment, policy: Policy) -> None:
    """Each goes on by a turn; one in which the policy failed ends."""
    going, heard = [], []
    for episode, reply in zip(playing, policy.reply(playing), strict=True):
        if isinstance(reply, Failed):
            episode.outcome, episode.failure = reply.outcome, reply.reason
        else:
            going.append(episode)
            heard.append(reply)
    environment.step(going, heard)


def rollouts(
    questions: Sequence[Question],
    samples: int,
    environment: Environment,
    policy: Policy,
    at_once: int,
    out: Path,
    play: Play = play,
) -> dict[str, int]:
    """Plays each question so many times into the file `out`; what it holds is not played again. Counts all outcomes.

    What was void is not written, and so is played again by the next run.
    """
    done, file = trajectories.resume(out)
    with file:
        strangers = {trajectory.policy for trajectory in done} - {policy.name}
        if strangers:
            raise UnidocError(
                f"{out}: holds episodes of {', '.join(strangers)}, not {policy.name}, by a run that was broken off; "
                "serve that model again, or remove this file to play them anew"
            )
        finished = {(one.question, one.sample) for one in done if one.outcome is not Outcome.VOID}
        jobs = [(question, sample) for question in questions for sample in range(samples)]
        left = [job for job in jobs if job not in finished]
        outcomes: Counter[Outcome] = Counter(one.outcome for one in done if one.outcome is not Outcome.VOID)
        with progress.bar(len(jobs), "playing", "episode", done=len(jobs) - len(left)) as bar:
            for trajectory in play(left, environment, policy, at_once):
                outcomes[trajectory.outcome] += 1
                if trajectory.outcome is Outcome.VOID:
                    progress.tell(f"{trajectory.question.uid}: void: {trajectory.failure}")
                else:
                    file.write(trajectories.to_line(trajectory))
                    file.flush()
                bar.update()
    return {outcome.value: outcomes[outcome] for outcome in Outcome}

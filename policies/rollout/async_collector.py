"""Acting that never waits for updates: the environment has a process of its own, as a robot has a clock of its own.

The actor steps at the contract's rate, whatever the learner does, with a copy of the policy on the CPU. Its frames go
to the learner, the learner's weights come back now and then (``policies.rollout.channel``). The learner keeps the
recipe's update-to-data ratio: it waits when it is ahead; when it cannot keep up, acting goes on, and the log says what
ratio was reached (``updates_per_step``), how old the weights are that act (``lag``, environment steps), and how fast
they do (``actor_hz``, steps a second).

Resuming: networks, optimisers, replay memory and counters are exact. The episode that was going on is lost to the
environment, not to the memory, and a new one begins; so do the actor's random numbers. Frames under way when a run dies
are lost.
"""

from __future__ import annotations

import multiprocessing
import os
import signal
import sys
import time
import traceback
import weakref
from collections.abc import Callable
from contextlib import suppress
from multiprocessing.connection import Connection, wait
from typing import Any, NoReturn

import numpy as np
import torch
from lightning.fabric import Fabric

from policies.config import TrainConfig
from policies.policy import Agent, family_of
from policies.rollout.acting import to_batch
from policies.rollout.channel import About, ActorEnd, Frame, LearnerEnd, Tensors, Wire, open_channel
from policies.rollout.collectors import Collected, Collector, Finished, Recorder
from robot.contract import Contract
from robot.errors import PixelarmError
from robot.history import History
from sim.envs.make import make_env
from sim.envs.processes import how_it_ended, shut_down, start_worker
from sim.envs.task_env import TaskEnv

SILENCE_S = (
    300.0  # an actor that shows nothing for longer counts as hung; compiling a scene for the first time takes some 30 s
)


class ActorFailed(PixelarmError):
    """The actor's process died, raised, or stopped acting; it has been closed."""


def acting_tensors(agent: Agent) -> Tensors:
    """The live tensors that exploring needs: of the learning policy, not of the averaged one."""
    return agent.acting_tensors()


class ActorProcess:
    """The process that acts, as the learner sees it: ``end`` of the channel, and whether it lives.

    Args:
        weights, about: what it begins with.
        seed: of its first episode and its random numbers.
    """

    def __init__(self, cfg: TrainConfig, contract: Contract, weights: Tensors, about: About, seed: int) -> None:
        mine, its = open_channel(contract, cfg.trainer.frames_waiting, weights)
        self.end, self._task, self._begun = LearnerEnd(mine), contract.task, about.step
        self.end.give(weights, about)
        context = multiprocessing.get_context("spawn")
        self._words, words = context.Pipe(duplex=False)
        self._process = context.Process(
            target=run, args=(its, words, cfg, seed, about.step, os.getpid()), name="pixelarm-actor", daemon=True
        )
        try:
            start_worker(self._process)
        finally:
            words.close()
            its.close()
        pipes = [mine.hear, mine.tell, self._words]
        self.close = weakref.finalize(self, shut_down, os.getpid(), pipes, [self._process])

    def listen(self, wait_for_news: bool = False) -> None:
        """Hear what the actor has said, if need be after waiting for it.

        Raises:
            ActorFailed: it has gone, or hangs.
        """
        if wait_for_news and not wait([self.end.wire.hear, self._process.sentinel], SILENCE_S):
            self._fail(f"gave no sign of life for {SILENCE_S:g} s")
        if not self.end.listen():
            self._fail(how_it_ended(self._process))

    def _fail(self, how: str) -> NoReturn:
        try:
            reason, trace = self._words.recv() if self._words.poll() else ("", "")
        except EOFError:  # it had no time for words
            reason, trace = "", ""
        last = max(self._begun, self.end.acted)
        self.close()
        raise ActorFailed(
            f"the process that acts in task {self._task!r} {how}{f', it raised {reason}' if reason else ''}; its last "
            f"environment step was {last}. The same command with resume=true continues from the newest checkpoint"
            + (f"\n{trace}" if trace else "")
        )


class Asynchronous(Collector):
    """The learner's side: takes what an actor in another process has seen, and gives it new weights.

    Args:
        start: what makes the other side when the first step is asked for.
    """

    waits = False

    def __init__(
        self, cfg: TrainConfig, contract: Contract, recorder: Recorder, start: Callable[..., Any] = ActorProcess
    ) -> None:
        self.cfg, self.contract, self.recorder, self._start = cfg, contract, recorder, start
        self.step = 0  # environment steps, those whose frames were dropped included
        self.dropped = 0  # environment steps whose frames found no room
        self._actor: ActorProcess | None = None
        self._seed = self._lag = 0
        self._given = About(0, 0, False)  # weights
        self._rate_since: tuple[float, int] | None = None  # moment in s, environment steps

    def begin(self, seed: int) -> None:
        self._seed = seed  # the actor starts with the first weights

    def collect(self, agent: Agent, random: np.random.Generator | None, busy: bool) -> Collected:
        """All that has arrived; unless ``busy``, wait for something first.
        ``random``: the actor explores with its own.
        """
        actor = self._actor or self._begin(agent, random is not None)
        actor.listen()
        self._give(actor.end, agent, random is not None)
        if not busy and not actor.end.ready:
            actor.listen(wait_for_news=True)
        before, collected = self.step, Collected(0)
        for frame in actor.end.frames():
            collected.finished += self._remember(frame)
        collected.steps = self.step - before
        return collected

    def _begin(self, agent: Agent, random: bool) -> ActorProcess:
        seed = self._seed
        if self.step:  # a resumed run does not play the episodes of the one before again
            seed = int(np.random.SeedSequence((seed, self.step)).generate_state(1)[0])
        self._given = About(agent.updates, self.step, random)
        self._actor = self._start(self.cfg, self.contract, acting_tensors(agent), self._given, seed)
        return self._actor

    def _give(self, end: LearnerEnd, agent: Agent, random: bool) -> None:
        """New weights, when it is time and the actor has read the last ones; else at the next occasion."""
        due = agent.updates - self._given.updates >= self.cfg.trainer.publish_every or random != self._given.random
        if due and end.taken:
            self._given = About(agent.updates, self.step, random)
            end.give(acting_tensors(agent), self._given)

    def _remember(self, frame: Frame) -> list[Finished]:
        self.dropped += frame.step - self.step - (0 if frame.opens else 1)
        self.step, self._lag = frame.step, frame.step - frame.weights_step
        self._rate_since = self._rate_since or (time.perf_counter(), frame.step)
        if frame.opens:
            self.recorder.start(frame.observation)
            return []
        return self.recorder.add(
            frame.action, frame.reward, frame.terminated, frame.truncated, frame.observation, frame.success
        )

    def numbers(self) -> dict[str, float]:
        found: dict[str, float] = {"lag": self._lag, "dropped": self.dropped}
        if self._actor is not None and self._rate_since is not None:
            (moment, steps), now = self._rate_since, (time.perf_counter(), self._actor.end.acted)
            found["actor_hz"] = (now[1] - steps) / (now[0] - moment)
            self._rate_since = now
        return found

    # ----------------------------------------------------------------- resume
    def state_dict(self) -> dict[str, Any]:
        return {"world": {}, "seed": self._seed, "step": self.step, "dropped": self.dropped}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self._seed, self.step, self.dropped = (int(state[key]) for key in ("seed", "step", "dropped"))

    def close(self) -> None:
        if self._actor is not None:
            self._actor.close()


class Actor:
    """The other side: acts in an environment with the newest weights it was given, and sends what it sees.

    Args:
        agent: a copy that acts; its weights are those that come.
        seed: of the first episode and of uniform actions.
        step: environment steps of the run so far.
    """

    def __init__(self, env: TaskEnv, agent: Agent, end: ActorEnd, seed: int, step: int) -> None:
        self.env, self.agent, self.end, self.step = env, agent, end, step
        self._random = np.random.default_rng(seed)
        self._history: History[dict[str, np.ndarray]] = History(agent.policy.contract.history)
        self._sending = True  # this episode's frames have all found room
        self._seen: list[dict[str, np.ndarray]] = []
        self._take()
        observation, _ = env.reset(seed=seed)
        self._open(observation)

    def act(self) -> None:
        """One step of the environment."""
        env, bounds = self.env, self.env.action_space
        if self.end.fresh:
            self._take()
        if self._about.random:
            action = env.contract.clip_action(self._random.uniform(bounds.low, bounds.high))
        else:
            action = self.agent.act(to_batch(self._seen), sample=True)[0, 0]
        observation, reward, terminated, truncated, info = env.step(action)
        self.step += 1
        self.end.count(self.step)
        self._send(observation, action, float(reward), terminated, truncated, bool(info["success"]))
        if terminated or truncated:
            observation, _ = env.reset()
            self._open(observation)
        else:
            self._seen = self._history.add(observation)

    def _take(self) -> None:
        self._about = self.end.take(acting_tensors(self.agent))
        self.agent.updates = self._about.updates  # on which scheduled exploration noise depends

    def _open(self, observation: dict[str, np.ndarray]) -> None:
        self._history.clear()
        self._seen = self._history.add(observation)
        self._sending = True
        self._send(observation, opens=True)

    def _send(
        self,
        observation: dict[str, np.ndarray],
        action: Any = 0.0,
        reward: float = 0.0,
        terminated: bool = False,
        truncated: bool = False,
        success: bool = False,
        opens: bool = False,
    ) -> None:
        """Send a frame if there is room. After one that found none, the rest of its episode is of no use either."""
        frame = Frame(observation, action, reward, opens, terminated, truncated, success, self.step, self._about.step)
        self._sending = self._sending and self.end.send(frame)


def run(wire: Wire, words: Connection, cfg: TrainConfig, seed: int, step: int, parent: int) -> None:
    """The actor's process: act until the learner, process ``parent``, closes the channel or dies."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the parent, which then closes us
    torch.set_num_threads(1)
    end = ActorEnd(wire)
    try:
        env = make_env(cfg.task)
        agent = family_of(cfg.algo).make_agent(env.contract, cfg.algo, Fabric(accelerator="cpu", devices=1), seed)
        end.listen()  # the first weights were there before this process was
        actor = Actor(env, agent, end, seed, step)
        period = env.contract.period_s / cfg.trainer.pace if cfg.trainer.pace else 0.0
        due = time.monotonic()
        while end.listen() and os.getppid() == parent:
            actor.act()
            due = max(due + period, time.monotonic())  # a step that took too long moves those after it
            time.sleep(max(0.0, due - time.monotonic()))
        env.close()
    except Exception as error:
        trace = "" if isinstance(error, PixelarmError) else traceback.format_exc()
        with suppress(OSError):  # the learner may have gone too
            words.send((f"{type(error).__name__}: {error}", trace))
        sys.exit(1)

"""An actor that never waits: what it sees arrives whole, weights reach it,
and nothing stays behind when something dies.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import gymnasium
import numpy as np
import pytest
import torch
from conftest_policies import make_agent, tiny_contract
from lightning.fabric import Fabric

from policies.data.replay import Replay
from policies.policy import family_of
from policies.rollout.acting import to_batch
from policies.rollout.async_collector import Actor, ActorFailed, Asynchronous, acting_tensors
from policies.rollout.channel import About, ActorEnd, Frame, LearnerEnd, open_channel
from policies.rollout.collectors import Recorder
from policies.runs import checkpoint
from policies.runs.metrics import read_log
from policies.training.train import compose, train
from sim.tasks import make_task

TINY = [
    "experiment=ablation/no_demonstrations",
    "recipe.random_steps=20", "recipe.learning_starts=21", "recipe.batch_size=8",
    "recipe.replay_capacity=1000", "trainer.accelerator=cpu", "trainer.threads=1", "trainer.eval_episodes=0",
    "task.image_size=32", "algo.actor.gaussian.hidden=32", "algo.critic.mlp.hidden=32", "trainer.asynchronous=true",
]  # fmt: skip


class Counting(gymnasium.Env):
    """Its frames are numbered; an episode ends in success after ``length`` steps."""

    def __init__(self, contract, length):
        self.contract, self.length, self.number, self.actions = contract, length, -1, []
        self.action_space = gymnasium.spaces.Box(*np.array([contract.action.low, contract.action.high], np.float32))

    def observe(self):
        self.number += 1
        images = {c.name: np.full(c.shape, self.number % 256, np.uint8) for c in self.contract.cameras}
        return images | {p.name: np.full(p.size, self.number, np.float32) for p in self.contract.proprio}

    def reset(self, *, seed=None, options=None):
        self.at = 0
        return self.observe(), {"success": False}

    def step(self, action):
        self.actions.append(action)
        self.at += 1
        done = self.at == self.length
        return self.observe(), float(done), done, False, {"success": done}


class Pair:
    """Both sides in this process: a collector that is given its end, and an actor to be stepped by hand."""

    def __init__(self, slots, length=5, history=1, publish_every=2, random=False):
        contract = tiny_contract(history)
        self.learning, acting = make_agent(contract, seed=1), make_agent(contract, seed=2)
        self.memory, self.successes = Replay(contract, 100), Replay(contract, 100)
        cfg = compose([*TINY, f"trainer.publish_every={publish_every}", f"trainer.frames_waiting={slots}"])
        recorder = Recorder(self.memory, self.successes, "bootstrap")

        def start(cfg, contract, weights, about, seed):
            self.wires = mine, its = open_channel(contract, cfg.trainer.frames_waiting, weights)
            self.end, end = LearnerEnd(mine), ActorEnd(its)
            self.end.give(weights, about)
            assert end.listen() and end.fresh
            self.actor = Actor(Counting(contract, length), acting, end, seed, about.step)
            return SimpleNamespace(end=self.end, listen=self.end.listen)

        self.collector = Asynchronous(cfg, contract, recorder, start)
        self.collect(np.random.default_rng(0) if random else None)

    def act(self, steps=1):
        for _ in range(steps):
            assert self.actor.end.listen()
            self.actor.act()

    def collect(self, random=None):
        return self.collector.collect(self.learning, random, busy=True)

    def close(self):
        for wire in self.wires:
            wire.close()


@pytest.fixture
def pair():
    pairs = []

    def make(*args, **options):
        pairs.append(Pair(*args, **options))
        return pairs[-1]

    yield make
    for one in pairs:
        one.close()


def test_frames_arrive_whole_and_in_order_round_and_round_the_ring(pair):
    both = pair(slots=7, length=5)
    finished = []
    for _ in range(10):
        both.act(3)  # and an opening every 5 steps: at most 5 frames
        collected = both.collect()
        assert collected.steps == 3
        finished += collected.finished
    batch = both.memory.gather(both.memory.transitions())
    now, after = batch.obs["eef_pos"][:, 0], batch.next_obs["eef_pos"][:, 0]
    # 6 frames an episode, so the frames 5, 11, 17, ... are its last ones and begin nothing
    assert now.tolist() == [n for n in range(36) if n % 6 != 5] and torch.equal(after, now + 1)
    assert torch.equal(batch.obs["b"][:, 1, 2, 3].float(), now)
    assert np.array_equal(batch.action.numpy(), np.array(both.actor.env.actions, np.float32))
    assert batch.reward.tolist() == [float(n % 6 == 4) for n in now.tolist()]
    assert torch.equal(batch.discount == 0, batch.reward == 1)
    assert len(finished) == 6 and all(f.success and f.total == 1.0 and f.steps == 5 for f in finished)
    assert len(both.successes) == 30 and both.collector.dropped == 0


def test_acting_goes_on_while_the_learner_is_busy_and_what_found_no_room_is_counted(pair):
    """The first frame is taken, then 9 find room: 5 of the episode, 4 of the next;
    the learner looks again in the fifth.
    """
    both = pair(slots=9, length=5)
    both.act(22)
    assert both.actor.step == both.end.acted == 22
    assert both.collect().steps == 5 + 3
    assert len(both.memory) == 8 and both.collector.dropped == 0
    both.act(8)  # 3 more steps of the fifth episode, which has lost its start; the sixth is whole
    collected = both.collect()
    assert collected.steps == 30 - 8 and len(collected.finished) == 1
    # of 30 steps 5 + 3 + 5 were seen
    assert both.collector.dropped == 30 - 13 and len(both.memory) == 13
    now = both.memory.gather(both.memory.transitions()).obs["eef_pos"][:, 0]
    assert now.tolist() == [0, 1, 2, 3, 4, 6, 7, 8, 30, 31, 32, 33, 34]


def test_weights_reach_the_actor_every_so_many_updates(pair):
    both = pair(slots=50, publish_every=2)
    learning, acting = acting_tensors(both.learning), acting_tensors(both.actor.agent)

    def agree():
        return all(torch.equal(learning[name], acting[name]) for name in learning)

    assert learning.keys() == acting.keys() and agree()  # the first ones
    both.act(3)
    for updates, expected in ((1, False), (2, True), (3, False), (5, True)):
        with torch.no_grad():
            for tensor in learning.values():
                tensor.add_(0.125)
        both.learning.updates = updates
        both.collect()
        both.act()
        assert agree() is expected
        assert both.actor.agent.updates == (updates if expected else updates - 1)
    # the newest frame is of step 7, its weights were given when 5 steps were known: after the collect before
    both.collect()
    assert both.collector.numbers()["lag"] == 7 - 5


def test_the_learner_never_waits_for_the_actor_to_read(pair):
    both = pair(slots=50, publish_every=1)
    for updates in (1, 2, 3):  # given, then twice not: the actor has not looked
        both.learning.updates = updates
        both.collect()
    both.act()
    assert both.actor.agent.updates == 1
    both.collect()
    both.act()
    assert both.actor.agent.updates == 3


def test_actions_are_uniform_as_long_as_the_learner_says_so(pair):
    both = pair(slots=50, random=True)
    both.act(3)
    rng = np.random.default_rng(0)
    bounds = both.actor.env.action_space
    assert np.allclose(both.actor.env.actions, [rng.uniform(bounds.low, bounds.high) for _ in range(3)])
    both.collect(rng)
    both.collect(None)  # weights come with the word, whatever publish_every is
    both.act()
    assert not np.allclose(both.actor.env.actions[3], rng.uniform(bounds.low, bounds.high))
    assert not both.actor._about.random


def test_the_actor_sees_the_history_that_the_memory_holds(pair, monkeypatch):
    both = pair(slots=50, history=3, length=4)
    seen = []
    act = both.actor.agent.act
    monkeypatch.setattr(both.actor.agent, "act", lambda o, sample: (seen.append(o), act(o, sample))[1])
    both.act(9)
    both.collect()
    remembered = both.memory.gather(both.memory.transitions()).obs
    assert all(torch.equal(torch.cat([one[name] for one in seen]), remembered[name]) for name in remembered)


@pytest.mark.parametrize(
    "kind",
    [
        ["n_step=1"],
        ["actor=deterministic", "encoder.history=flow"],
        ["encoder.cameras=separate", "exploration=bursts"],
    ],
    ids=lambda kind: kind[0],
)
def test_the_copy_explores_as_the_original_would(kind):
    contract = tiny_contract(history=2)
    original, copy = make_agent(contract, *kind, seed=1), make_agent(contract, *kind, seed=2)
    original.normalizer.fit(torch.randn(9, 2 * 4))
    mine, its = open_channel(contract, 2, acting_tensors(original))
    learner, actor = LearnerEnd(mine), ActorEnd(its)
    learner.give(acting_tensors(original), About(700, 30, False))
    assert actor.listen() and actor.take(acting_tensors(copy)) == About(700, 30, False)
    seen = to_batch([Counting(contract, 5).observe() for _ in range(2)])
    for agent in (original, copy):
        agent.updates = 700
        agent.generator.manual_seed(3)
    assert np.array_equal(original.act(seen, sample=True), copy.act(seen, sample=True))
    for wire in (mine, its):
        wire.close()


def test_each_side_hears_that_the_other_has_gone():
    contract = tiny_contract()
    tensors = {"w": torch.arange(3.0)}
    observation = Counting(contract, 5).observe()
    frame = Frame(observation, np.zeros(4), 0.0, True, False, False, False, 0, 0)
    mine, its = open_channel(contract, 3, tensors)
    learner, actor = LearnerEnd(mine), ActorEnd(its)
    assert [actor.send(frame) for _ in range(4)] == [True, True, True, False]
    its.close()
    assert learner.listen() and len(list(learner.frames())) == 3  # what was sent still arrives
    learner.give(tensors, About(0, 0, False))  # said to nobody
    assert not learner.listen()
    mine.close()
    mine, its = open_channel(contract, 3, tensors)
    mine.close()
    actor = ActorEnd(its)
    assert actor.send(frame) and not actor.listen()
    its.close()
    with pytest.raises(ValueError, match="2 to 4096 slots, got 1"):
        open_channel(contract, 1, tensors)


def alive(pid):
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except FileNotFoundError:
        return False


def wait_until(condition, seconds=120.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def test_the_process_keeps_acting_while_the_learner_updates_and_its_death_is_told(in_shared_memory):
    before = in_shared_memory()
    contract = make_task("lift", image_size=32).contract
    cfg = compose([*TINY, "trainer.pace=0", "trainer.frames_waiting=16"])
    recorder = Recorder(Replay(contract, 100), None, "bootstrap")
    collector = Asynchronous(cfg, contract, recorder)
    collector.begin(seed=1)
    learning = family_of(cfg.algo).make_agent(contract, cfg.algo, Fabric(accelerator="cpu", devices=1), 1)

    def collect():
        collector.collect(learning, None, busy=False)

    while collector.step < 5:
        collect()
    end, process = collector._actor.end, collector._actor._process
    # one update that takes as long as 100 steps: nobody fetches a frame, nobody waits
    wait_until(lambda: end.acted >= collector.step + 100)
    wait_until(lambda: (collect(), collector.dropped > 0)[1])
    learning.updates = 30  # new weights are due; the first were given at step 0
    wait_until(lambda: (collect(), collector.numbers()["lag"] < collector.step)[1])
    assert process.pid is not None
    os.kill(process.pid, signal.SIGKILL)
    with pytest.raises(ActorFailed, match=r"'lift' was killed by SIGKILL .*; its last environment step was \d+\."):
        while True:
            collect()
    wait_until(lambda: in_shared_memory() <= before, seconds=5.0)
    collector.close()


def test_an_actor_that_cannot_start_says_why():
    contract = make_task("lift", image_size=32).contract
    cfg = compose([*TINY, "task.name=lfit"])
    collector = Asynchronous(cfg, contract, Recorder(Replay(contract, 100), None, "bootstrap"))
    learning = family_of(cfg.algo).make_agent(contract, cfg.algo, Fabric(accelerator="cpu", devices=1), 1)
    with pytest.raises(
        ActorFailed, match="ended with exit status 1, it raised UnknownName: unknown task 'lfit'; .* was 0"
    ):
        while True:
            collector.collect(learning, None, busy=False)


def overrides_of(run):
    return [
        *TINY, f"run={run}", "recipe.steps=60", "recipe.updates_per_step=0.5", "trainer.pace=5",
        "trainer.publish_every=2", "trainer.checkpoint_every=30", "trainer.log_every=10",
    ]  # fmt: skip


@pytest.fixture
def shoot(in_shared_memory):
    """Starts a long run and ends it with a signal; nothing of it stays behind."""
    before = in_shared_memory()
    yield start_and_shoot
    wait_until(lambda: in_shared_memory() <= before, seconds=5.0)


def start_and_shoot(run, number):
    """Start a long run as a user would and, after a checkpoint, send a signal,
    Ctrl-C to the whole group as a terminal does.
    """
    command = [sys.executable, "-m", "robot.cli", "train", *overrides_of(run), "recipe.steps=100000"]
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )
    wait_until(lambda: process.poll() is not None or list(run.glob("checkpoints/rank0/step_*[1-9]*")))
    children = [
        int(status.parent.name)
        for status in Path("/proc").glob("[0-9]*/status")
        if f"\nPPid:\t{process.pid}\n" in text_of(status)
    ]
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    said = process.communicate(timeout=120)[0]
    assert children, said
    wait_until(lambda: not any(alive(pid) for pid in children))
    return said


def text_of(path):
    try:
        return path.read_text()
    except OSError:
        return ""


@pytest.mark.train
@pytest.mark.thorough
def test_a_run_is_interrupted_and_resumed(tmp_path, shoot):
    run = tmp_path / "run"
    said = shoot(run, signal.SIGINT)
    assert "interrupted; the same command with resume=true" in said and "Traceback" not in said, said
    train(compose([*overrides_of(run), "resume=true"]))
    newest = checkpoint.newest(run / "checkpoints" / "rank0")
    assert newest is not None
    state = json.loads((newest / "state.json").read_text())
    # half an update for each step from the 21st on: made, or still owed
    assert state["step"] >= 60 and state["updates"] + state["owed"] == (state["step"] - 20) / 2
    transitions = np.load(newest / "online" / "complete.npy").sum()
    assert transitions == state["step"] - state["environment"]["dropped"]
    lines = read_log(run, "train")
    assert all(line["updates_per_step"] <= 0.5 and line["actor_hz"] > 0 for line in lines)


@pytest.mark.train
@pytest.mark.slow
def test_the_actor_leaves_with_a_learner_that_was_killed(tmp_path, shoot):
    assert "Traceback" not in shoot(tmp_path / "run", signal.SIGKILL)

"""A person who takes over in training: when, for how long, and what is learned from it."""

import numpy as np
import pytest
import torch
from conftest_policies import random_observation, tiny_contract

from policies.data.replay import Replay
from policies.rollout.collectors import Finished, InTurn, Recorder
from policies.rollout.person import Person
from policies.runs.metrics import read_log
from policies.training.train import compose, train
from robot.errors import PixelarmError
from sim.demonstrations import collect
from sim.envs.make import make

POLICY, PERSON = 0.01, 0.02  # what each of them does


class Corridor:
    """Ends in success once the person has acted three times, or the policy, left alone, for six steps."""

    contract = tiny_contract()

    def __init__(self, easy=()):
        self.rng, self.easy, self.episode = np.random.default_rng(0), easy, -1

    def reset(self, seed=None):
        self.episode, self.by_person, self.step_count = self.episode + 1, 0, 0
        return random_observation(self.contract, self.rng), {}

    def expert(self, seed):
        return lambda: np.full(4, PERSON, np.float32)

    def step(self, action):
        self.step_count += 1
        self.by_person += action[0] == np.float32(PERSON)
        done = bool(self.by_person == 3 or (self.episode in self.easy and self.step_count == 4))
        over = self.step_count == 10 and not done
        return random_observation(self.contract, self.rng), float(done), done, over, {"success": done}


class Agent:
    def act(self, observation, sample):
        return np.full((1, 1, 4), POLICY, np.float32)


def play(env, steps, after=4, most=0):
    """A collector's memories and finished episodes after so many steps."""
    memory, successes, demos = (Replay(env.contract, 100) for _ in range(3))
    person = Person(env, after, most, seed=1)
    collector = InTurn(env, Recorder(memory, successes, "bootstrap", corrections=demos), person)
    collector.begin(0)
    finished = []
    for _ in range(steps):
        finished += collector.collect(Agent(), None, busy=False).finished
    return collector, memory, successes, demos, finished


def test_a_person_drives_from_the_step_it_takes_over_to_the_end():
    """Four steps of the policy, three of the person: nothing of it is the policy's success."""
    collector, memory, successes, demos, finished = play(Corridor(), 14)
    actions = memory.gather(memory.transitions()).action[:, 0]
    assert actions.tolist() == pytest.approx(([POLICY] * 4 + [PERSON] * 3) * 2)
    assert finished == [Finished(False, 1.0, 7)] * 2
    assert len(successes) == 0
    batch = demos.gather(demos.transitions())
    assert batch.action[:, 0].tolist() == pytest.approx([PERSON] * 6) and batch.imitate.all()
    assert batch.reward.tolist() == [0, 0, 1, 0, 0, 1]
    assert torch.equal(batch.obs["a"][:3], memory.gather(memory.transitions()[4:7]).obs["a"])
    assert collector.numbers() == {"take_overs": 2.0, "take_over_steps": 6.0}


def test_what_the_policy_does_in_time_is_its_own():
    *_, successes, demos, finished = play(Corridor(easy={0}), 4)
    assert finished == [Finished(True, 1.0, 4)] and (len(successes), len(demos)) == (4, 0)


def test_a_person_takes_over_no_more_often_than_it_may():
    """Once, then the policy goes on until the clock ends the episode."""
    collector, _, _, demos, finished = play(Corridor(), 17, most=1)
    assert finished == [Finished(False, 1.0, 7), Finished(False, 0.0, 10)] and len(demos) == 3
    assert collector.numbers()["take_overs"] == 1


def test_a_person_goes_on_after_a_resume():
    """In the middle of a correction: it goes on, and what it did before and does after joins as one."""
    env = Corridor()
    collector, memory, successes, demos, _ = play(env, 6)
    state = {"person": collector.person.state_dict(), "taken_over": collector.recorder.taken_over}
    assert state == {"person": {"taken": 1, "steps": 2, "acting": True}, "taken_over": 4}
    again = InTurn(env, Recorder(memory, successes, "bootstrap", corrections=demos), Person(env, 4, 0, seed=1))
    again.person.load_state_dict(state["person"])
    again.recorder.taken_over = state["taken_over"]
    assert again.collect(Agent(), None, busy=False).finished == [Finished(False, 1.0, 7)]
    assert len(demos) == 3 and again.numbers() == {"take_overs": 1.0, "take_over_steps": 3.0}


OPTIONS = [
    "experiment=hil", "task=reach", "recipe.demos=2", "recipe.pretrain_updates=0", "recipe.clone_updates=2",
    "recipe.critic_warmup=0", "recipe.learning_starts=10", "recipe.batch_size=8", "recipe.replay_capacity=200",
    "trainer.eval_episodes=0", "trainer.log_every=10", "trainer.accelerator=cpu", "trainer.threads=1",
    "task.image_size=32", "algo.critic.mlp.hidden=16", "algo.actor.deterministic.hidden=16",
]  # fmt: skip


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "demos"
    env = make("reach", image_size=32)
    collect(env, folder, episodes=2, seed=1)
    env.close()
    return folder


@pytest.mark.train
def test_a_run_with_a_person_learns_and_goes_on(demos, tmp_path):
    run = [*OPTIONS, f"demos={demos}", f"run={tmp_path / 'r'}"]
    train(compose([*run, "recipe.steps=100"]))
    before = read_log(tmp_path / "r", "train")[-1]
    assert before["take_overs"] >= 1 and before["take_over_steps"] > before["take_overs"]
    train(compose([*run, "recipe.steps=200", "resume=true"]))
    after = read_log(tmp_path / "r", "train")[-1]
    assert after["step"] == 200 and after["take_overs"] > before["take_overs"]


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ("recipe.take_over_after=0", "most_take_overs would do nothing: set take_over_after"),
        ("trainer.num_envs=2", "of a person who watches one environment"),
        ("recipe.demo_fraction=0", "nothing would be drawn from the corrections"),
        ("recipe.take_over_after=3", r"is step \d+ of a training episode, which ends at \d+: nobody would take over"),
    ],
)
def test_a_person_who_would_do_nothing_is_refused(demos, tmp_path, more, words):
    run = [*OPTIONS, f"demos={demos}", f"run={tmp_path / 'r'}", "recipe.steps=50"]
    most = [] if "num_envs" in more or "=3" in more else ["recipe.most_take_overs=3"]
    with pytest.raises(PixelarmError, match=words):
        train(compose([*run, *most, "recipe.bc_weight=0", more]))

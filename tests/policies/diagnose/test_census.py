"""The class of a failure: from traces made by hand, and of a scripted expert with a defect."""

import numpy as np
import pytest
from conftest_traces import flags, make_trace, places

from policies.diagnose.census import (
    CLASSES,
    DROPPED,
    MISSED,
    NEVER,
    NOT_RELEASED,
    PUT_DOWN,
    SHORT,
    SUCCESS,
    TIME,
    classify,
    closest,
    count,
)
from policies.diagnose.watch import Watch
from sim.envs.make import make
from sim.tasks import TASKS

CLOSED = flags(10, *range(2, 10))  # told to close from step 2 on
OPENED = flags(10, 2, 3, 4, 5)  # and to open again from step 6 on
HELD = {"touches": flags(11, *range(3, 11)), "held": flags(11, *range(3, 11)), "closing": CLOSED}
LET_GO = {"touches": flags(11, 3, 4, 5, 6), "held": flags(11, 3, 4, 5, 6), "closing": OPENED}
LOST = {**LET_GO, "closing": CLOSED}
ON_TABLE, HIGH = (0.0, 0.0, 0.0), (0.1, 0.0, 0.05)
CARRIED_HIGH = places(*[ON_TABLE] * 4, *[HIGH] * 3, (0.1, 0.0, 0.0))  # 5 cm up in states 4 to 6, then on the table
CARRIED_LOW = places(*[ON_TABLE] * 4, *[(0.1, 0.0, 0.01)] * 3, (0.1, 0.0, 0.0))


@pytest.mark.parametrize(
    ("found", "given"),
    [
        (SUCCESS, {"success": True, "done": flags(11, 10)}),
        (SHORT, {**HELD, "done": flags(11, 5)}),
        (NEVER, {}),
        (NEVER, {"hand": np.full((11, 3), 0.02)}),  # 3.5 cm from it
        (MISSED, {"hand": np.full((11, 3), 0.015)}),  # 2.6 cm: open fingers are around it
        (MISSED, {"touches": flags(11, 4)}),
        (MISSED, {"touches": flags(11, 4), "held": flags(11, 4)}),  # in one state alone: a push with both pads
        (DROPPED, {**LET_GO, "manipuland": CARRIED_HIGH}),  # opened 5 cm above the table
        (DROPPED, {**LOST, "manipuland": CARRIED_LOW}),  # slipped out of closed fingers
        (DROPPED, {**LET_GO, "manipuland": CARRIED_LOW, "goal": None}),  # nothing is to be put down in this task
        (PUT_DOWN, {**LET_GO, "manipuland": CARRIED_LOW}),
        (NOT_RELEASED, {**HELD, "manipuland": places(*[ON_TABLE] * 6, (0.17, 0.0, 0.1))}),  # 3 cm from the goal's axis
        (TIME, {**HELD, "manipuland": places(*[ON_TABLE] * 6, (0.15, 0.0, 0.1))}),  # 5 cm
        (TIME, {**HELD, "goal": None}),  # held, but not raised far enough
        (NEVER, {"grasps": False, "hand": np.full((11, 3), 0.015)}),  # a task without grasps wants a touch
        (TIME, {"grasps": False, "touches": flags(11, 4)}),
        # tasks that name nothing: with and without something that can be moved
        (TIME, {"grasps": False, "touches": None, "manipuland": None, "goal": None}),
        (NEVER, {"grasps": False, "manipuland": None, "goal": None}),
        (TIME, {"grasps": False, "touches": flags(11, 4), "manipuland": None, "goal": None}),
    ],
)
def test_a_failure_is_told_from_what_truly_happened(found, given):
    assert classify(make_trace(**given)) == found


def test_how_far_aside_the_hand_was_where_it_was_nearest():
    # 5 cm away in all, 3 of them aside; farther before
    hand = places((0.5, 0.0, 0.0), (0.03, 0.0, 0.04), (0.02, 0.0, 0.3))
    assert closest(make_trace(hand=hand)) == pytest.approx(0.03)
    # held from state 0 on: what comes later is no aim
    assert closest(make_trace(hand=hand, held=flags(11, 0, 1))) == pytest.approx(0.5)
    assert closest(make_trace(manipuland=None)) is None


def test_every_class_is_counted_zeros_included():
    counted = count([SUCCESS, DROPPED, DROPPED])
    assert list(counted) == [SUCCESS, *CLASSES] and counted[DROPPED] == 2 and sum(counted.values()) == 3


@pytest.fixture(scope="module")
def watch():
    env = make("move", image_size=32, hold_steps=3)
    yield Watch(env)
    env.close()


class Expert:
    """The scripted expert, with what it does spoilt by a defect. It is made after the reset, at the first step."""

    def __init__(self, env, seed, defect=lambda world, action: action):
        self.env, self.seed, self.defect, self.expert = env, seed, defect, None

    def __call__(self, seen):
        self.expert = self.expert or self.env.expert(self.seed)
        return np.array(self.defect(self.env.world, self.expert()), np.float32)


def never_closes(world, action):
    return [*action[:3], -1.0]


class OpensTooEarly:
    """From the moment on at which the block is 5 cm up."""

    def __init__(self):
        self.opened = False

    def __call__(self, world, action):
        self.opened |= world.object_position("block")[2] - world.object_position("place")[2] > 0.05
        return [*action[:3], -1.0] if self.opened else action


def stops_above_the_block(world, action):
    """Goes no lower than 12 cm above the table."""
    too_low = world.eef_position()[2] - world.object_position("place")[2] < 0.12
    return [*action[:2], max(action[2], 0.04), action[3]] if too_low else action


def stops_above_the_place(world, action):
    """Holds on, 10 cm above it."""
    across = np.linalg.norm((world.object_position("place") - world.object_position("block"))[:2])
    return [0.0, 0.0, 0.0, 1.0] if across < 0.012 else action


class PutsDownElsewhere:
    """Where the block was: closes around it, stays there for a while, opens for good."""

    def __init__(self):
        self.steps = 0

    def __call__(self, world, action):
        self.steps += self.steps > 0 or world.gripper_opening() < 0.06
        return [0.0, 0.0, 0.0, 1.0 if self.steps < 8 else -1.0] if self.steps else action


@pytest.mark.parametrize(
    ("defect", "found"),
    [
        (lambda: lambda world, action: action, SUCCESS),
        (lambda: never_closes, MISSED),
        (OpensTooEarly, DROPPED),
        (lambda: stops_above_the_block, NEVER),
        (lambda: stops_above_the_place, NOT_RELEASED),
        (PutsDownElsewhere, PUT_DOWN),
    ],
)
def test_an_expert_with_a_defect_fails_in_its_class(watch, defect, found):
    for seed in (10_000, 10_001):
        played = watch.play(Expert(watch.env, seed, defect()), seed)
        assert classify(played.trace) == found, (seed, classify(played.trace))
        assert len(played.trace.done) == played.trace.steps + 1 == len(played.actions) + 1


@pytest.mark.parametrize("name", list(TASKS))
def test_every_task_can_be_watched(name):
    env = make(name, image_size=32, time_limit=2)
    trace = Watch(env).play(lambda seen: np.zeros(env.contract.action.size, np.float32), 10_000).trace
    assert trace.steps == 2 and trace.hand.shape == (3, 3) and not trace.held.any()
    assert classify(trace) == (TIME if name == "reach" else NEVER)
    assert (trace.manipuland is None) == (name == "reach" or name.startswith("kitchen"))
    env.close()


def test_an_outsiders_task_that_says_nothing_still_gets_a_census(watch):
    env = make("door", image_size=32)
    for name in ("manipuland", "grasps", "goal"):
        assert hasattr(env.task, name)

    class Bare:
        """Door as somebody wrote it who has not heard of manipulands."""

        def __getattr__(self, name):
            if name in ("manipuland", "grasps", "goal"):
                raise AttributeError(name)
            return getattr(task, name)

    task, env.task = env.task, Bare()
    still = np.zeros(4, np.float32)
    bare = Watch(env)
    assert classify(bare.play(lambda seen: still, 10_000).trace) == NEVER
    assert classify(bare.play(Expert(env, 10_001), 10_001).trace) == SUCCESS
    env.close()


def test_a_task_with_nothing_to_touch_runs_out_of_time():
    env = make("reach", image_size=32)
    trace = Watch(env).play(lambda seen: np.array([0.0, 0.0, 0.04, -1.0], np.float32), 10_000).trace
    assert trace.touches is None and trace.manipuland is None and classify(trace) == TIME and trace.steps == 30
    env.close()


def test_an_episode_played_again_is_the_same(watch):
    played = watch.play(lambda seen: np.array([0.02, 0.0, -0.02, 1.0], np.float32), 10_003, keep=True)
    frames = watch.filmed(played)
    assert len(frames) == 8 and frames[0].shape == (256, 256, 3)
    assert np.array_equal(watch.world.eef_position(), played.trace.hand[-1])
    assert len(played.seen) == played.trace.steps and played.seen[0]["agentview"].shape == (1, 3, 32, 32)

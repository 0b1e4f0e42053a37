"""An episode of a policy and a person: who acted at each step, and what was proposed, by a real arbiter."""

from __future__ import annotations

from itertools import groupby
from pathlib import Path
from typing import Any

import arbiter_rig
import numpy as np
import pytest
from recording_rig import DOWN, TOLD, contract

from hardware.teleop.desk import SUCCESS
from hardware.teleop.recording import Recording, who_acts
from robot import profile
from robot.actions import Target
from robot.arbiter.modes import IDLE, INTERVENE, POLICY, TELEOP
from robot.contract import Action, Proprio
from robot.dataset import acting
from robot.dataset.episodes import Episode, read_dataset
from robot.dataset.log import left_over
from robot.dataset.recover import recover
from robot.profile import ArmProfile

HERE = arbiter_rig.HERE
POLICY_WANTS, PERSON_WANTS = (0.3, 0.0, 0.0), (0.0, 0.2, 0.0)  # m from the start: further than an action can say


class Both:
    """An arbiter with an arm, and a recording that hears what a node hears: status at each change and at 10 Hz."""

    def __init__(self, folder: Path, everyone: bool = True) -> None:
        self.rig = arbiter_rig.Rig()
        self.rig.arbiter._on_event = lambda name, words: self.say_status()
        clock: Any = self.rig.clock
        clock.notify = lambda: None
        arm = ArmProfile.load(profile.find("sim_panda", profile.shipped()))
        self.folder, self.said, self.ticks = folder, [], 0  # type: ignore[var-annotated]
        self.recording = Recording(folder, arm, contract(), {"operator": "hand"}, self.said.append, clock, everyone)

    def say_status(self) -> None:
        self.recording.put_status(self.rig.arbiter.status())

    def run(self, seconds: float, held: bool | None, policy: bool = True) -> None:
        """Ticks of 10 ms, an observation after each tenth; ``held`` None: the operator's device says nothing."""

        def each() -> None:
            if policy:
                self.rig.policy(*POLICY_WANTS)()
                self.recording.put_wanted(POLICY, Target(1.0, position=HERE + POLICY_WANTS, rotation=TOLD))
            if held is not None:
                self.rig.operator(*PERSON_WANTS, held=held)()
                if held:
                    self.recording.put_wanted(TELEOP, Target(1.0, position=HERE + PERSON_WANTS, rotation=TOLD))
            if self.ticks % 10 == 5:  # not at the tick of a change
                self.observe(bool(held))
            self.ticks += 1

        self.rig.run(seconds, each)

    def observe(self, held: bool) -> None:
        self.say_status()
        stamp = self.rig.clock.now_ns()
        if self.rig.sent:
            told = self.rig.sent[-1][0]
            self.recording.put_command(Target(1.0, position=told.position, rotation=told.rotation))
        self.recording.put_state("eef_pos", self.rig.position.copy(), stamp)
        self.recording.put_state("eef_quat", DOWN, stamp)
        self.recording.put_state("gripper_opening", np.array([0.08]), stamp)
        self.recording.put_image("agentview", np.full((8, 8, 3), self.ticks // 10 % 256, np.uint8), stamp)
        self.recording.step(held)

    def end(self) -> Episode:
        self.recording.end(SUCCESS)
        self.recording.close()
        (episode,) = read_dataset(self.folder, contract())
        return episode


def runs(episode: Episode) -> list[str]:
    assert episode.source is not None
    return [acting.CODES[code] for code, _ in groupby(episode.source.tolist())]


def take_over(made: Both) -> None:
    """Nobody, then the policy; a person takes over, and hands back."""
    made.run(0.5, held=False)
    made.rig.arbiter.drive(POLICY)
    made.run(1.0, held=False)
    made.run(1.0, held=True)
    assert made.rig.arbiter.mode == INTERVENE
    made.run(1.0, held=False)


def test_a_take_over_and_a_hand_back_are_one_episode_that_says_who_acted(tmp_path: Path) -> None:
    made = Both(tmp_path / "both")
    take_over(made)
    episode = made.end()
    assert runs(episode) == ["blend", "policy", "blend", "person", "blend", "policy"]  # 0.3 s of blend at each change
    assert episode.source is not None and episode.proposed is not None
    found = acting.counts(episode.source)
    assert found["person"] >= 5 and found["policy"] >= 10 and len(episode) in (28, 29, 30)
    # proposed, as a delta from what was measured, leads to where whoever had command wanted the arm
    wanted = episode.proposed[:, :3] + episode.observations["eef_pos"][:-1]
    for code, offset in ((acting.POLICY, POLICY_WANTS), (acting.PERSON, PERSON_WANTS)):
        goals = wanted[episode.source == code]
        assert goals == pytest.approx(np.tile(HERE + offset, (len(goals), 1)), abs=1e-5)
    assert np.abs(episode.actions[:, :3]).max() <= 0.04 + 1e-6  # after the limits, and the contract's bounds
    assert episode.success and episode.terminated[-1]


def test_what_the_person_did_is_an_example_and_the_rest_is_not(tmp_path: Path) -> None:
    """As `pixelarm train` and `pixelarm dagger` read it."""
    pytest.importorskip("torch")
    from policies.data.replay import Lookup, Replay, examples

    made = Both(tmp_path / "both")
    take_over(made)
    episode = made.end()
    replay = Replay(contract(), 100, Lookup())
    replay.add_episode(episode)
    person = episode.source == acting.PERSON
    assert examples(episode).tolist() == person.tolist() and 0 < person.sum() < len(episode)
    assert int(replay._imitate.sum()) == person.sum()
    assert len(replay) == len(episode)


def test_without_it_the_person_alone_is_recorded(tmp_path: Path) -> None:
    made = Both(tmp_path / "hands", everyone=False)
    take_over(made)
    episode = made.end()
    assert runs(episode) == ["person"] and episode.proposed is None and len(episode) == 10


def test_a_hold_is_a_step_for_a_second_and_then_a_pause(tmp_path: Path) -> None:
    """The policy holds the arm itself for 2.5 s: its observations are old, say."""
    made = Both(tmp_path / "both")
    made.rig.arbiter.drive(POLICY)
    made.run(1.0, held=False)
    for _ in range(250):
        made.rig.arbiter.put_hold(POLICY, "stale_observation")
        made.run(0.01, held=False, policy=False)
    made.run(1.0, held=False)
    episode = made.end()
    assert runs(episode) == ["blend", "policy", "hold", "blend", "policy"]
    assert episode.source is not None and acting.counts(episode.source)["hold"] in (9, 10, 11)
    assert episode.proposed is not None and episode.provenance["gaps"] == 0


def test_nobody_moves_the_arm_and_nothing_is_recorded(tmp_path: Path) -> None:
    """A stop ends what the policy does; command that nobody uses begins no episode."""
    made = Both(tmp_path / "both")
    made.run(1.0, held=False)
    made.rig.arbiter.drive(POLICY)
    made.run(0.5, held=False, policy=False)
    assert made.recording.report()["steps"] == 0 and made.recording._log is None
    made.run(1.0, held=False)
    made.rig.arbiter.stop()
    made.run(0.2, held=False)  # the step in which it was stopped
    steps = made.recording.report()["steps"]
    made.run(1.0, held=False)
    assert made.rig.arbiter.mode == IDLE and made.recording.report()["steps"] == steps > 5
    assert runs(made.end())[-1] == "policy"


def test_an_arbiter_that_died_moves_nothing(tmp_path: Path) -> None:
    made = Both(tmp_path / "both")
    made.rig.arbiter.drive(POLICY)
    made.run(1.0, held=False)
    made.say_status = lambda: None  # type: ignore[method-assign]
    made.run(1.0, held=False)
    steps = made.recording.report()["steps"]
    made.run(1.0, held=False)
    assert made.recording.report()["steps"] == steps
    made.recording.close()


def test_what_was_proposed_is_recovered_from_a_log(tmp_path: Path) -> None:
    made = Both(tmp_path / "both")
    take_over(made)
    made.recording.close()
    assert len(left_over(tmp_path / "both")) == 1
    recover(tmp_path / "both")
    (episode,) = read_dataset(tmp_path / "both" / "recovered", contract())
    assert runs(episode)[:4] == ["blend", "policy", "blend", "person"]
    assert episode.proposed is not None and episode.proposed[:, 0].max() > 0.2


@pytest.mark.parametrize(
    ("mode", "rule", "blending", "who"),
    [
        ("policy", "", False, acting.POLICY), ("policy", "", True, acting.BLEND),
        ("policy", "stale_state", False, acting.HOLD), ("intervene", "", False, acting.PERSON),
        ("intervene", "waiting", False, acting.HOLD), ("teleop", "", False, acting.PERSON),
        ("teleop", "released", False, None), ("idle", "idle", False, None), ("fault", "estop", False, None),
        ("reset", "", False, None),
    ],
)  # fmt: skip
def test_the_arbiter_s_word_says_who_acts(mode: str, rule: str, blending: bool, who: int | None) -> None:
    assert who_acts({"mode": mode, "rule": rule, "blending": blending}) == who
    assert who_acts({}) is None


def test_after_an_outcome_nothing_begins_before_nobody_has_command(tmp_path: Path) -> None:
    """The stop that was asked for has not come yet: what the policy still does is of no episode."""
    both = Both(tmp_path / "both")
    both.rig.arbiter.drive(POLICY)
    both.run(1.0, held=None)
    both.recording.end(SUCCESS)
    both.run(0.5, held=None)  # still in command
    assert both.recording.report()["steps"] == 0 and both.recording._log is None
    both.rig.arbiter.stop()
    both.run(0.3, held=None)
    both.rig.arbiter.drive(POLICY)
    both.run(0.5, held=None)
    assert both.recording.report()["steps"] > 0
    both.recording.end(SUCCESS)
    both.recording.close()
    assert len(read_dataset(tmp_path / "both", contract())) == 2 and not left_over(tmp_path / "both")


def test_a_commander_that_leaves_the_orientation_as_it_is_can_be_recorded(tmp_path: Path) -> None:
    """By a contract whose actions turn the hand: its wish says no rotation."""
    names = ("dx", "dy", "dz", "rx", "ry", "rz", "gripper")
    turns = Action(
        "eef_delta_pose", names, ("m",) * 3 + ("rad",) * 3 + ("1",), (-0.1,) * 6 + (-1.0,), (0.1,) * 6 + (1.0,)
    )
    arm = ArmProfile.load(profile.find("sim_panda", profile.shipped()))
    proprio = (*contract().proprio, Proprio("eef_quat", 4, "1", "base"))
    rig = arbiter_rig.Rig()
    clock: Any = rig.clock
    clock.notify = lambda: None
    made = contract(action=turns, proprio=proprio)
    recording = Recording(tmp_path / "both", arm, made, {}, lambda words: None, clock, True)
    for number in range(4):
        rig.clock.now_s += 0.1
        recording.put_status({"mode": POLICY, "rule": "", "blending": False})
        recording.put_wanted(POLICY, Target(1.0, position=HERE + 0.01))
        recording.put_command(Target(1.0, position=HERE, rotation=TOLD))
        for name, value in (("eef_pos", HERE), ("eef_quat", DOWN), ("gripper_opening", np.array([0.08]))):
            recording.put_state(name, value, rig.clock.now_ns())
        recording.put_image("agentview", np.full((8, 8, 3), number, np.uint8), rig.clock.now_ns())
        recording.step(False)
    recording.end(SUCCESS)
    recording.close()
    (episode,) = read_dataset(tmp_path / "both", made)
    assert episode.proposed is not None and episode.proposed[0] == pytest.approx([0.01] * 3 + [0, 0, 0, 1], abs=1e-5)

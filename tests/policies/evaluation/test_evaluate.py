"""Evaluation: success at any step and at the end are two things, and every policy meets the same seeds."""

import dataclasses
import errno
import json
from types import SimpleNamespace

import numpy as np
import pytest

from policies.evaluation import evaluate as module
from policies.evaluation.evaluate import evaluate, load_actor, main, rollout
from robot.errors import PixelarmError
from robot.stats import AFTER_STEPS
from sim.envs.task_env import TaskEnv
from sim.tasks.kitchen import Kitchen


class ScriptedEnv:
    """Success on the steps that a script names; counts what it was asked."""

    metric = "success"
    max_steps = 10

    def __init__(self, script):
        self.script, self.seeds = script, []

    def reset(self, seed):
        self.seeds.append(seed)
        self.step_number = 0
        return {}, {"success": False}

    def step(self, action):
        self.step_number += 1
        return {}, 0.0, False, False, {"success": self.step_number in self.script}

    def render(self):
        return np.zeros((4, 4, 3), np.uint8)


def act(observation):
    return np.zeros(4)


def test_a_tossed_cube_counts_once_but_not_at_the_end():
    outcome = rollout(ScriptedEnv({3, 4}), act, seed=1, after_steps=5)
    assert (outcome.success_once, outcome.success_end, outcome.steps) == (True, False, 3)


def test_a_held_cube_counts_for_both():
    outcome = rollout(ScriptedEnv(set(range(3, 20))), act, seed=1, after_steps=5)
    assert (outcome.success_once, outcome.success_end, outcome.steps) == (True, True, 3)


def test_a_failure_takes_all_steps():
    env = ScriptedEnv(set())
    outcome = rollout(env, act, seed=1)
    assert (outcome.success_once, outcome.success_end, outcome.steps, env.step_number) == (False, False, 10, 10)


def test_the_end_is_ten_steps_after_the_first_success_as_over_ros():
    """First success in step 3, so the end is step 13: success in steps 3 to 12 is over, in steps 3 to 13 it is not."""
    assert AFTER_STEPS == 10
    assert [rollout(ScriptedEnv(set(range(3, last + 1))), act, seed=1).success_end for last in (12, 13)] == [
        False,
        True,
    ]


def test_a_policy_is_named_by_a_path_or_by_text(tmp_path):
    for name in (tmp_path, str(tmp_path)):
        with pytest.raises(PixelarmError, match="neither a policy bundle"):
            load_actor(name)


def test_seeds_intervals_and_films():
    env = ScriptedEnv({2, 3, 4, 5})
    result = evaluate(env, act, range(5, 9), after_steps=1, films=1, quiet=True)
    assert env.seeds == [5, 6, 7, 8] and result.once.n == 4 and result.once.successes == 4
    assert list(result.films) == [5] and len(result.films[5]) == 4  # 3 steps and the last view
    assert (result.to_dict()["at_end"]["success"], result.to_dict()["after_steps"]) == (1.0, 1)


# ------------------------------------------------------------------------------------------------------- the command
@pytest.fixture
def played(monkeypatch):
    """The policies that were played, in order; each solves every scene in step 3."""
    seen = []

    def play(env, policy, seeds, **options):
        seen.append(policy)
        return evaluate(env, act, seeds, films=options.get("films", 0), quiet=True)

    contract = SimpleNamespace(rate_hz=10, execute=1)
    env = ScriptedEnv(set(range(3, 20)))
    env.close = lambda: None
    monkeypatch.setattr(module, "load_actor", lambda path, expect=None: (str(path), contract, {}))
    monkeypatch.setattr(module, "make_env_for", lambda *_: env)
    monkeypatch.setattr(module, "evaluate", play)
    return seen


def test_an_output_that_cannot_be_written_is_refused_before_anything_is_played(played, tmp_path):
    (tmp_path / "FILE").write_text("")
    for option, place, words in (
        ("--json", tmp_path / "FILE" / "r.json", "FILE: File exists"),
        ("--json", tmp_path, "is a folder, and a file is to be written there"),
        ("--video", tmp_path / "FILE" / "films", "FILE/films: Not a directory"),
    ):
        with pytest.raises(PixelarmError, match=words):
            main(["policy", "--episodes", "2", option, str(place)])
    with pytest.raises(PixelarmError, match="--seed-start must be at least 0, got -5"):
        main(["policy", "--seed-start", "-5"])
    assert played == []


def test_both_policies_are_loaded_before_the_first_is_played(played, monkeypatch):
    def load(path, expect=None):
        if expect is not None:
            raise PixelarmError("no such policy")
        return "first", SimpleNamespace(rate_hz=10, execute=1), {}

    monkeypatch.setattr(module, "load_actor", load)
    with pytest.raises(PixelarmError, match="no such policy"):
        main(["policy", "--episodes", "2", "--against", "other"])
    assert played == []


def test_what_was_played_is_printed_when_it_cannot_be_written_and_the_rest_is_written(
    played, tmp_path, monkeypatch, capsys
):
    """The disk fills up while the first policy is played."""

    def full(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(module, "write_json", full)
    monkeypatch.setattr("robot.dataset.video.write_video", lambda path, *_: path.write_bytes(b"film") and path)
    command = ["policy", "--episodes", "2", "--against", "other", "--json", str(tmp_path / "r.json")]
    with pytest.raises(PixelarmError, match="r.json could not be written: No space left on device$"):
        main([*command, "--video", str(tmp_path / "films")])
    said = capsys.readouterr().out
    assert "success at any step 1.00 [0.34, 1.00] (2 of 2)" in said and "only the first succeeded 0 times" in said
    assert played == ["policy", "other"]
    assert sorted(p.name for p in (tmp_path / "films").iterdir()) == ["success_10000.mp4", "success_10001.mp4"]


def test_a_kitchen_is_also_scored_by_completed_subtasks(monkeypatch, tmp_path, capsys):
    """As the papers do; other tasks are not."""
    task = Kitchen(("microwave", "kettle"))
    task.contract, task.max_steps = dataclasses.replace(task.contract, cameras=()), 20
    still = np.zeros(task.contract.action.size, np.float32)
    monkeypatch.setattr(module, "load_actor", lambda path, expect=None: (lambda _: still, task.contract, {}))
    monkeypatch.setattr(module, "make_env_for", lambda *_: TaskEnv(task))
    assert main(["policy", "--episodes", "2", "--json", str(tmp_path / "r.json")]) == 0
    said = capsys.readouterr().out
    assert "completed subtasks, n = 2 episodes of 450 executed steps, seeds 10000 to 10001" in said
    assert "| at 280 steps | 0.00 [0.00, 0.00] |" in said
    found = json.loads((tmp_path / "r.json").read_text())["subtasks"]
    assert found["subtasks"] == ["microwave", "kettle"] and found["ever_280_loose"]["completed"] == [0, 0]


def test_chunks_are_executed_as_the_command_says(played, tmp_path, monkeypatch):
    """A policy that returns eight actions: each step's own by default, three of a chunk, or 150 ms late at 20 Hz."""
    contract = SimpleNamespace(
        rate_hz=20, period_s=0.05, chunk=8, execute=1, action=SimpleNamespace(kind="joint_velocity")
    )  # fmt: skip
    actor = SimpleNamespace(contract=contract, reset=lambda: None, see=lambda observation: None)
    monkeypatch.setattr(module, "load_actor", lambda path, expect=None: (actor, contract, {}))
    for options, every, delay in (([], None, None), (["--execute", "3"], 3, 0), (["--inference-ms", "150"], 3, 3)):
        main(["policy", "--episodes", "2", *options, "--json", str(tmp_path / "r.json")])
        if every is None:
            assert played[-1] is actor
        else:
            assert (played[-1].actor, played[-1].every, played[-1].delay) == (actor, every, delay)
    report = json.loads((tmp_path / "r.json").read_text())
    assert (report["execute"], report["inference_ms"]) == (1, 150.0)
    with pytest.raises(PixelarmError, match="executed for 1 to 8 steps"):
        main(["policy", "--execute", "9"])

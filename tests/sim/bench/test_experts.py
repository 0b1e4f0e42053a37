"""The benchmark of experts: a task that an arm does, one that it misses, and one that its gripper cannot hold."""

import json
from dataclasses import replace

import pytest

from robot.errors import PixelarmError, UnknownName
from sim.arms import ARMS
from sim.bench import experts, tasks


def run(tmp_path, capsys, *options):
    assert experts.main(["--episodes", "2", "--out", str(tmp_path), *options]) == 0
    return capsys.readouterr().out


def test_one_task_with_two_arms(tmp_path, capsys):
    printed = json.loads(run(tmp_path, capsys, "--tasks", "reach", "--arms", "ur5e", "panda", "ur5e", "--json"))
    assert printed == json.loads((tmp_path / "bench.json").read_text())
    assert printed["suite"] == "experts" and printed["seeds"] == [0, 1] and printed["target"] == 0.95
    assert printed["git"] and printed["hardware"]["system"] and printed["versions"]["mujoco"]
    assert list(printed["tasks"]) == ["reach"] and list(printed["tasks"]["reach"]) == ["ur5e", "panda"]
    for found in printed["tasks"]["reach"].values():
        # Wilson, 2 of 2: the lower bound is 1 / (1 + 1.96^2 / 2) = 0.342
        assert (found["success"], found["n"], found["failed_seeds"], found["reached"]) == (1.0, 2, [], True)
        assert found["low"] == pytest.approx(0.342, abs=1e-3)


def test_what_misses_and_what_is_refused_are_named(tmp_path, capsys, monkeypatch):
    panda = ARMS["panda"]
    narrow = replace(panda, name="narrow", gripper=replace(panda.gripper, open=(0.01, -0.01)))
    monkeypatch.setitem(ARMS, "narrow", narrow)
    monkeypatch.setattr(tasks, "play", lambda env, seed: (seed == 1, 10))
    out = run(tmp_path, capsys, "--tasks", "lift", "--arms", "panda", "narrow")
    head, row, *below = out.splitlines()
    assert head.split() == ["panda", "narrow"]
    assert row.split("  ")[0] == "lift" and "1/2 [0.09, 0.91]" in row and row.endswith("refused")
    assert below[0] == "lift with panda MISSED the target; seeds that failed: [0]"
    assert below[1].startswith("lift with narrow is refused: the gripper of narrow opens 20 mm, and the object of lift")
    found = json.loads((tmp_path / "bench.json").read_text())["tasks"]["lift"]
    assert not found["panda"]["reached"] and set(found["narrow"]) == {"refused"}


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (["--tasks", "raech"], UnknownName, "unknown task 'raech'; the valid names are: .*reach"),
        (["--tasks", "kitchen"], UnknownName, "unknown task 'kitchen'"),
        (["--arms", "ur6"], UnknownName, "unknown arm 'ur6'.*ur5e"),
        (["--episodes", "0"], PixelarmError, "--episodes must be at least 1, got 0"),
    ],
)
def test_wrong_arguments_are_refused_in_words(options, kind, words):
    with pytest.raises(kind, match=words):
        experts.main(options)

"""The demo's cost before and after: the sum by hand, the stock side's settings, and one tiny run of the command."""

import json

import pytest

from robot.errors import PixelarmError
from sim.bench import demo as bench_demo
from sim.bench.demo import Work, minutes, total
from sim.bench.harness import Row, Sample
from sim.tasks import make_task


def test_a_demo_is_its_steps_and_its_resets():
    """10 steps in 2 s and 4 resets in 2 s: 0.2 and 0.5 s each;
    100 steps and 6 resets are 20 + 3 s, twice that on the wall.
    """
    demo = total(Work(100, 6), Sample(10, 2.0, 4.0), Sample(4, 2.0, 4.0))
    assert demo == Sample(1, pytest.approx(23.0), pytest.approx(46.0))
    rounds = [demo, Sample(1, 120.0, 120.0), Sample(1, 600.0, 600.0)]
    assert minutes(rounds) == 2.0  # the median
    slow = Row("whole", "", "demo", 5.0, ours=[demo], stock=[Sample(1, 230.0, 230.0)])
    assert slow.ratios == [pytest.approx(10.0)] and slow.to_dict()["reached"]


def test_the_steps_and_resets_are_those_of_the_stated_run():
    """Validation: 8 of 30 scenes; evaluation: 2 policies on 50; each part has at least a step an episode."""
    assert [bench_demo.WORK[part].resets for part in ("collection", "validation", "evaluation")] == [10, 240, 100]
    assert bench_demo.WORK["online"].steps == 4000
    assert all(work.resets <= work.steps <= 60 * work.resets for work in bench_demo.WORK.values())


@pytest.mark.slow
def test_the_stock_side_has_the_demos_contract():
    """10 Hz is 50 steps of 2 ms, and the largest action moves the target by as much as the contract's."""
    env, contract = bench_demo.stock_lift(images=False), make_task("lift").contract
    env.reset()
    arm = env.robots[0].composite_controller.part_controllers["right"]
    assert round(env.control_timestep / env.model_timestep) == 50 and not arm.use_ori
    assert tuple(arm.output_max) == contract.action.high[:3] and env.action_spec[1].shape == (contract.action.size,)
    env.close()


@pytest.mark.slow
@pytest.mark.gl
@pytest.mark.thorough
def test_a_tiny_run(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(bench_demo, "EPISODES", 2)
    monkeypatch.setattr(bench_demo, "STOCK_EPISODES", 1)
    assert bench_demo.main(["--json", "--seconds", "0.2", "--rounds", "2", "--out", str(tmp_path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "bench.json").read_text())
    step, reset, whole = printed["rows"]
    assert [row["key"] for row in printed["rows"]] == ["step", "reset", "whole"]
    for side in ("ours", "stock"):
        pairs = zip(step[side]["per_cpu_s"], reset[side]["per_cpu_s"])
        assert whole[side]["per_cpu_s"] == pytest.approx(
            [1 / (12_209 / steps + 541 / resets) for steps, resets in pairs]
        )
    assert whole["target"] == 5.0
    assert printed["minutes"].keys() == {"before", "after"}
    success = printed["success"]
    assert [success[side]["n"] for side in ("fast", "exact", "stock")] == [2, 2, 1]
    assert all(success[side]["success"] == 1.0 for side in ("fast", "exact", "stock"))
    assert success["paired"] == {"only_fast": 0, "only_exact": 0, "mcnemar_p": 1.0}


def test_wrong_arguments_are_refused_in_words():
    with pytest.raises(PixelarmError, match="--seconds must be positive and --rounds at least 1, got 0 and 5"):
        bench_demo.main(["--seconds", "0"])

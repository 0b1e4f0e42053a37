"""Percentiles by hand, bounded memory, and a pacer that finds the sensors' phase."""

from __future__ import annotations

import json

import numpy as np
import pytest

from robot.control import timing
from robot.control.timing import Clock, Pacer, Samples, StageTimes


def test_summary_by_hand() -> None:
    samples = Samples()
    for value in range(1, 102):  # 1..101: the q-th percentile is 1 + q
        samples.add(value)
    assert samples.summary() == {"n": 101, "p50": 51.0, "p95": 96.0, "p99": 100.0, "max": 101.0}


def test_an_empty_series_is_valid_json() -> None:
    assert json.dumps(Samples().summary()) == '{"n": 0, "p50": null, "p95": null, "p99": null, "max": null}'


def test_memory_is_bounded_but_count_and_maximum_are_of_all_time() -> None:
    samples = Samples(keep=10)
    for value in [1000.0, *range(50)]:
        samples.add(value)
    assert (samples.n, samples.max, len(samples.raw)) == (51, 1000.0, 10)
    assert samples.summary()["p50"] == 44.5  # of 40..49


def test_stages_measure_the_given_clock_even_when_the_stage_fails() -> None:
    now = [0.0]
    stages = StageTimes(lambda: now[0])
    with stages.measure("wait"):
        now[0] += 0.25
    with pytest.raises(ValueError, match="stop"), stages.measure("infer"):
        now[0] += 0.5
        raise ValueError("stop")
    assert stages.to_dict()["wait"]["max"] == 250.0
    assert stages.to_dict()["infer"]["max"] == 500.0


def run(pacer: Pacer, phase_s: float, ticks: int, grace_s: float = 0.02, period_s: float = 0.1) -> list[float]:
    """Waiting age in s of the image each tick uses, with images at ``phase_s + n * period_s``."""
    ages = []
    pacer.start(10.0)
    for _ in range(ticks):
        assert pacer.due_s is not None
        coming = phase_s + np.ceil((pacer.due_s - phase_s) / period_s - 1e-9) * period_s
        arrival = coming if coming <= pacer.due_s + grace_s else coming - period_s
        used_s = max(arrival, pacer.due_s)
        ages.append(used_s - arrival)
        pacer.next(used_s + 0.01, float(arrival))
    return ages


@pytest.mark.parametrize("phase_s", [0.0, 0.013, 0.03, 0.05, 0.08, 0.095])
def test_the_phase_follows_the_images_from_any_start(phase_s: float) -> None:
    ages = run(Pacer(0.1), phase_s, ticks=60)
    assert max(ages[-20:]) < 0.001  # each image is used as it arrives
    assert ages[0] < 0.1


def test_the_slew_is_limited() -> None:
    pacer = Pacer(0.1, slew_s=0.002)
    pacer.start(0.0)
    pacer._fast_left = 0
    due = [0.0]
    for _ in range(20):
        due.append(pacer.next(due[-1] + 0.01, due[-1] - 0.06))
    steps = np.diff(due)
    np.testing.assert_allclose(steps, 0.098)  # 2 ms early each tick, never more


def test_without_arrivals_the_rate_is_fixed() -> None:
    pacer = Pacer(0.1)
    pacer.start(0.0)
    due = [pacer.next(0.1 * k + 0.02, None) for k in range(10)]
    np.testing.assert_allclose(due, 0.1 * np.arange(1, 11))


def test_a_loop_that_fell_behind_skips_ticks_and_keeps_its_phase() -> None:
    pacer = Pacer(0.1)
    pacer.start(0.0)
    assert pacer.next(0.35, None) == pytest.approx(0.4)


def test_wait_returns_on_notify_or_at_the_deadline() -> None:
    clock = Clock()
    assert clock.wait(lambda: True, clock.steady() + 10)
    assert not clock.wait(lambda: False, clock.steady() - 1)


def test_cycles_that_are_late_are_given_up_and_not_made_good(monkeypatch: pytest.MonkeyPatch) -> None:
    """A period of 0.1 s; the second of five cycles takes 0.35 s: the third begins at once, others a period apart."""
    now, begun = [10.0], []
    monkeypatch.setattr(timing.time, "monotonic", lambda: now[0])
    monkeypatch.setattr(timing.time, "sleep", lambda seconds: now.__setitem__(0, now[0] + seconds))

    def cycle() -> None:
        begun.append(now[0])
        now[0] += 0.35 if len(begun) == 2 else 0.02

    spent, between = Samples(), Samples()
    timing.pace(0.1, lambda: len(begun) < 5, cycle, spent, between)
    assert begun == pytest.approx([10.0, 10.1, 10.45, 10.55, 10.65], abs=1e-9)
    assert list(spent.raw) == pytest.approx([20, 350, 20, 20, 20])
    assert len(between.raw) == 4

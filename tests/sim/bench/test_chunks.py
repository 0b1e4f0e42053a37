"""``pixelarm bench chunks``, as it is typed, and how it measures."""

from __future__ import annotations

import json

import numpy as np
import pytest

from policies.bench.command import main
from robot.errors import PixelarmError
from sim.bench.chunks import WAYS, Trace, jerk


def test_jerk_is_the_third_difference() -> None:
    """x = t^3 and y = -2 t^3 have the jerk 6 and -12 everywhere: sqrt(36 + 144) together."""
    times = np.arange(10) * 0.1
    places = np.stack([times**3, -2.0 * times**3, times**2], axis=1)
    np.testing.assert_allclose(jerk(places, 0.1), np.full(7, np.sqrt(180.0)), rtol=1e-9)


def test_late_actions_and_holds_are_counted_from_the_third_second_on() -> None:
    """At 20 Hz late is over 25 ms; holds execute nothing, and the first two seconds are 40 cycles."""
    trace = Trace(0.05)
    trace.places = [np.zeros(3)] * 300
    trace.sent = [np.zeros(3)] * 60
    trace.lateness = [1.0] * 40 + [0.3, 0.024, 0.027, -0.02, 0.3] + [0.0] * 15
    trace.held = [True] * 44 + [True] + [False] * 15
    trace.held[40:44] = [False] * 4
    found = trace.summary()
    assert (found["late_actions_executed"], found["missed_cycles"], found["cycles"]) == (2, 1, 20)
    assert found["arm_jerk"] == found["target_jerk"] == {"rms": 0.0, "max": 0.0}


def test_inference_of_300_ms_at_20_hz_moves_smoothly_and_executes_no_late_action(tmp_path, capsys) -> None:
    assert main(["chunks", "--seconds", "12", "--out", str(tmp_path), "--json"]) == 0
    found = json.loads((tmp_path / "bench.json").read_text())
    assert json.loads(capsys.readouterr().out.partition("\nwrote")[0])["ways"] == found["ways"]
    assert (found["inference_ms"], found["rate_hz"], list(found["ways"])) == (300.0, 20.0, [w.words for w in WAYS])
    waiting, counted, plain, faded, _, smooth = found["ways"].values()
    for row in (plain, faded, smooth):
        assert (row["late_actions_executed"], row["missed_cycles"]) == (0, 0)
    assert counted["late_actions_executed"] == counted["cycles"]  # what counters do: each is six periods late
    assert waiting["missed_cycles"] > 0.2 * waiting["cycles"]
    for kind in ("motion_jerk", "target_jerk"):
        assert faded[kind]["rms"] < 0.7 * waiting[kind]["rms"] and faded[kind]["max"] < 0.7 * waiting[kind]["max"]
    assert faded["target_jerk"]["rms"] < 0.5 * plain["target_jerk"]["rms"]
    assert (tmp_path / "chunks.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--inference-ms", "340"], r"--inference-ms must lie in \[0, 335\)"),
        (["--inference-ms", "nan"], "--inference-ms"),
        (["--seconds", "2"], r"--seconds must lie in \[6, 500\]"),
    ],
)
def test_what_it_cannot_measure_is_refused(options, words) -> None:
    with pytest.raises(PixelarmError, match=words):
        main(["chunks", *options])

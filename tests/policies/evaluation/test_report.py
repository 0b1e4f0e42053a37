"""The table that the report shows and the demo prints: success rates with intervals, and when their end was read."""

import pytest

from policies.demo.pipeline import ros_summary
from policies.evaluation import report
from policies.evaluation.report import headline_rows
from robot.errors import PixelarmError


def rate(success: float, **more: object) -> dict[str, object]:
    return {"success": success, "low": success - 0.1, "high": success + 0.1, "n": 20, **more}


def rows(**summary: object) -> dict[str, str]:
    rest = {"env_steps": 0, "robot_minutes": 0.0, "updates_per_second": 0.0, "minutes": {}, "contract_hash": "c"}
    return dict(headline_rows({**rest, **summary}))


def test_success_at_the_end_says_how_many_steps_later_it_was_read():
    found = rows(
        sim=rate(0.8, at_end=rate(0.7), after_steps=10),
        bc=rate(0.5, at_end=rate(0.4)),  # of a run from before the number was written
        ros=rate(0.6, at_end=rate(0.3), after_steps=5),
    )
    assert found["success, simulation"] == "0.80 [0.70, 0.90], n = 20; 10 steps later 0.70 [0.60, 0.80]"
    assert found["success, cloning alone"] == "0.50 [0.40, 0.60], n = 20; at the end 0.40 [0.30, 0.50]"
    assert found["success, over ROS 2"] == "0.60 [0.50, 0.70], n = 20; 5 steps later 0.30 [0.20, 0.40]"


def test_a_summary_over_ros_keeps_what_the_arm_says_and_knows_that_older_arms_waited_five_steps():
    loop = {"latency_ms": dict.fromkeys(("n", "p50", "p99", "max"), 1), "deadline_ms": 80, "deadline_misses": 0}
    loop |= {"rules": {}, "limits": {}}
    arm = {"episodes": [{"success_once": True, "success_end": False}]}
    assert ros_summary({"arm": {**arm, "after_steps": 10}, "loop": loop})["ros"]["after_steps"] == 10
    assert ros_summary({"arm": arm, "loop": loop})["ros"]["after_steps"] == 5


@pytest.mark.parametrize(
    "files", [{"summary.json": "{}"}, {"summary.json": "[]"}, {"summary.json": "{"}, {}, {"FILE": ""}]
)
def test_a_folder_that_is_no_demos_is_said_to_be_none(tmp_path, files):
    for name, text in files.items():
        (tmp_path / name).write_text(text)
    with pytest.raises(PixelarmError, match="a report needs the files of a whole `pixelarm demo`|summary.json"):
        report.main([str(tmp_path / "FILE" if "FILE" in files else tmp_path)])

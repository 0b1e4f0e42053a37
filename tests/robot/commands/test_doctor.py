"""The doctor: each thing that is wrong is found, has a line on what to do, and cannot take the doctor down with it."""

from __future__ import annotations

import json
import os
from collections import namedtuple
from pathlib import Path

import pytest

from robot.commands import doctor
from robot.commands.doctor import ABSENT, NOTE, OK, WRONG, Check, Probe, probe, verdict

Usage = namedtuple("Usage", "total used free")


def states(checks: list[Check]) -> list[str]:
    return [check.state for check in checks]


def taught(checks: list[Check]) -> bool:
    """Every line that is not fine says what to do."""
    return all(check.todo for check in checks if check.state != OK)


# ------------------------------------------------------------------ probes
def test_a_probe_hands_back_the_last_line_as_json() -> None:
    assert probe("print('noise'); print('{\"a\": 1}')") == Probe({"a": 1})


@pytest.mark.parametrize(
    ("code", "words"),
    [
        ("import os; os.kill(os.getpid(), 11)", "crashed (signal 11)"),
        ("import time; time.sleep(60)", "no answer within"),
        ("raise ValueError('no such device')", "ValueError: no such device"),
        ("import sys; sys.exit(3)", "status 3"),
        ("print('not json')", "unexpected output: not json"),
    ],
    ids=["crash", "hang", "error", "status", "garbage"],
)
def test_a_probe_survives(code: str, words: str) -> None:
    result = probe(code, seconds=2 if "sleep" in code else 60)
    assert result.data is None
    assert words in result.problem


# ------------------------------------------------------------------ packages
def with_packages(monkeypatch: pytest.MonkeyPatch, found: dict[str, str]) -> None:
    monkeypatch.setattr(doctor, "installed", lambda package: found.get(package, ""))


def test_tested_versions_are_fine(monkeypatch: pytest.MonkeyPatch) -> None:
    with_packages(monkeypatch, {p: v for group in doctor.TESTED.values() for p, v in group.items()})
    assert [states(doctor.check_packages(extra)) for extra in doctor.TESTED] == [[OK], [OK], [OK]]


def test_an_extra_that_is_not_there_is_no_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with_packages(monkeypatch, doctor.TESTED[""])
    (check,) = doctor.check_packages("train")
    assert check.state == ABSENT
    assert "not installed: needed for training" in check.found
    assert "pip install 'pixelarm[train]'" in check.todo


def test_half_an_extra_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    with_packages(monkeypatch, {"torch": "2.15.0"})
    (check,) = doctor.check_packages("train")
    assert check.state == WRONG
    assert "missing: torchvision, lightning, hydra-core, onnx" in check.found
    assert check.todo


def test_another_mujoco_is_an_error_and_another_numpy_a_note(monkeypatch: pytest.MonkeyPatch) -> None:
    with_packages(monkeypatch, {**doctor.TESTED["sim"], "mujoco": "3.10.0"})
    (check,) = doctor.check_packages("sim")
    assert (check.state, check.found) == (WRONG, "mujoco 3.10.0, needs 3.9.0")
    with_packages(monkeypatch, {**doctor.TESTED[""], "numpy": "2.2.6"})
    (check,) = doctor.check_packages("")
    assert check.state == NOTE
    assert "numpy 2.2.6 (tested: 1.26.4)" in check.found


# ------------------------------------------------------------------ OpenGL, GPU, rclpy
def with_probes(monkeypatch: pytest.MonkeyPatch, **by_backend: Probe) -> None:
    monkeypatch.setattr(doctor, "installed", lambda package: "1.0")
    monkeypatch.setattr(doctor, "probe", lambda code, env=None: by_backend[(env or {}).get("MUJOCO_GL", "any")])


DRAWN = Probe({"device": "llvmpipe", "drawn": True})
BLACK = Probe({"device": "llvmpipe", "drawn": False})
FAILS = Probe(None, "crashed (signal 11)")
MISSING = Probe(None, "AttributeError: 'NoneType' object has no attribute 'eglQueryString'")


@pytest.mark.parametrize(
    ("chosen", "egl", "osmesa", "state", "todo"),
    [
        ("", DRAWN, DRAWN, OK, ""),
        ("", DRAWN, FAILS, OK, ""),
        ("", FAILS, DRAWN, NOTE, "MUJOCO_GL=osmesa"),
        ("", FAILS, FAILS, WRONG, "apt-get install libegl1"),
        ("", BLACK, BLACK, WRONG, "apt-get install libegl1"),
        ("", MISSING, MISSING, NOTE, "apt-get install libegl1"),
        ("", MISSING, FAILS, WRONG, "apt-get install libegl1"),
        ("egl", FAILS, DRAWN, WRONG, "set it to osmesa"),
        ("egl", MISSING, DRAWN, NOTE, "set it to osmesa"),
        ("egl", MISSING, FAILS, NOTE, "apt-get install libegl1"),
        ("osmesa", FAILS, DRAWN, OK, ""),
    ],
)
def test_gl(chosen: str, egl: Probe, osmesa: Probe, state: str, todo: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", chosen)
    with_probes(monkeypatch, egl=egl, osmesa=osmesa)
    (check,) = doctor.check_gl()
    assert check.state == state, check
    assert todo in check.todo and bool(todo) == bool(check.todo)


def test_without_opengl_the_ray_caster_draws_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MUJOCO_GL", "")
    with_probes(monkeypatch, egl=MISSING, osmesa=MISSING)
    (check,) = doctor.check_gl()
    assert (check.state, verdict([check])[0]) == (NOTE, True)
    assert "the ray-caster draws instead" in check.found and "four times slower" in check.found
    monkeypatch.setattr(doctor, "installed", lambda package: "" if package == "mujoco-warp" else "1.0")
    (check,) = doctor.check_gl()
    assert (check.state, verdict([check])[0]) == (WRONG, False)
    assert "ray-caster" not in check.found


@pytest.mark.gl
def test_gl_for_real(monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("mujoco")
    monkeypatch.delenv("MUJOCO_GL", raising=False)
    (check,) = doctor.check_gl()
    assert check.state in (OK, NOTE), check


@pytest.mark.parametrize(
    ("result", "driver", "state"),
    [
        (Probe({"gpus": ["H200, 139 GiB"], "cuda": "13.0"}), "/usr/bin/nvidia-smi", OK),
        (Probe({"gpus": [], "cuda": "13.0"}), None, OK),
        (Probe({"gpus": [], "cuda": "13.0"}), "/usr/bin/nvidia-smi", NOTE),
        (Probe(None, "OSError: libcudart.so: cannot open"), None, WRONG),
    ],
)
def test_gpu(result: Probe, driver: str | None, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_probes(monkeypatch, any=result)
    monkeypatch.setattr(doctor.shutil, "which", lambda name: driver)
    checks = doctor.check_gpu()
    assert states(checks) == [state]
    assert taught(checks)


@pytest.mark.parametrize(
    ("result", "wheel", "state"),
    [
        (Probe({"rmw": "rmw_fastrtps_cpp", "at": "x"}), "7.1.6", OK),
        (Probe(None, "ModuleNotFoundError: No module named 'rclpy'"), "", ABSENT),
        (Probe(None, "ModuleNotFoundError: No module named 'rclpy'"), "7.1.6", WRONG),
        (Probe(None, "ImportError: librcl.so: cannot open shared object file"), "7.1.6", WRONG),
    ],
)
def test_rclpy(result: Probe, wheel: str, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    with_probes(monkeypatch, any=result)
    monkeypatch.setattr(doctor, "installed", lambda package: wheel)
    checks = doctor.check_rclpy()
    assert states(checks) == [state]
    assert taught(checks)


# ------------------------------------------------------------------ ROS environment
@pytest.mark.parametrize(
    ("env", "wrong"),
    [
        ({}, {}),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST", "ROS_DISTRO": "jazzy", "ROS_DOMAIN_ID": "7"}, {}),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "SUBNET"}, {"ROS discovery": NOTE}),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "OFF"}, {"ROS discovery": WRONG}),
        ({"ROS_AUTOMATIC_DISCOVERY_RANGE": "localhost"}, {"ROS discovery": WRONG}),
        ({"ROS_DOMAIN_ID": "abc"}, {"ROS_DOMAIN_ID": WRONG}),
        ({"ROS_DOMAIN_ID": "-1"}, {"ROS_DOMAIN_ID": WRONG}),
        ({"ROS_DOMAIN_ID": "233"}, {"ROS_DOMAIN_ID": WRONG}),
        ({"ROS_LOCALHOST_ONLY": "1"}, {"ROS_LOCALHOST_ONLY": NOTE}),
        ({"ROS_DISTRO": "humble"}, {"ROS_DISTRO": NOTE}),
        ({"FASTRTPS_DEFAULT_PROFILES_FILE": "/no/such.xml"}, {"FASTRTPS_DEFAULT_PROFILES_FILE": WRONG}),
    ],
)
def test_ros_environment(env: dict[str, str], wrong: dict[str, str]) -> None:
    checks = doctor.check_ros_environment(env)
    assert {check.name: check.state for check in checks if check.state != OK} == wrong
    assert taught(checks)


# ------------------------------------------------------------------ the machine
@pytest.mark.parametrize(("free_gib", "state"), [(0.5, WRONG), (3, NOTE), (50, OK)])
def test_disk(free_gib: float, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: Usage(1e12, 0, free_gib * doctor.GIB))
    checks = doctor.check_disk()
    assert states(checks) == [state]
    assert taught(checks)


def test_shared_memory(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    assert states(doctor.check_shared_memory(str(tmp_path / "absent"))) == [NOTE]
    monkeypatch.setattr(doctor.shutil, "disk_usage", lambda path: Usage(64 * 2**20, 0, 64 * 2**20))
    (docker,) = doctor.check_shared_memory(str(tmp_path))
    assert docker.state == NOTE
    assert "--shm-size" in docker.todo


@pytest.mark.parametrize(("cores", "load", "state"), [(1, 0, NOTE), (2, 0, OK), (2, 3.5, NOTE), (8, 3.5, OK)])
def test_cpu(cores: float, load: float, state: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "cpu_count", lambda: cores)
    monkeypatch.setattr(os, "getloadavg", lambda: (load, 0, 0))
    checks = doctor.check_cpu()
    assert states(checks) == [state]
    assert taught(checks)


# ------------------------------------------------------------------ verdict and report
def test_verdict(monkeypatch: pytest.MonkeyPatch) -> None:
    fine, absent = Check("a", OK, ""), Check("rclpy", ABSENT, "", "install it")
    wrong = Check("OpenGL", WRONG, "", "install it")
    assert verdict([fine, Check("b", NOTE, "", "x")])[0]
    assert verdict([fine, wrong]) == (False, "to be put right first: OpenGL")
    monkeypatch.setattr(doctor, "has_extra", lambda extra: False)
    assert verdict([fine, absent])[0], "the robot side alone is a complete installation"
    monkeypatch.setattr(doctor, "has_extra", lambda extra: extra == "train")
    assert verdict([fine, absent]) == (False, "`pixelarm demo` also needs: rclpy")


@pytest.mark.parametrize(("state", "status"), [(OK, 0), (WRONG, 1)])
def test_main(state: str, status: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(doctor, "examine", lambda: [Check("disk", state, "0 GiB", "free some space")])
    assert doctor.main([]) == status
    assert "free some space" in capsys.readouterr().out
    assert doctor.main(["--json"]) == status
    data = json.loads(capsys.readouterr().out)
    assert data["ok"] is (status == 0)
    assert data["checks"] == [{"name": "disk", "state": state, "found": "0 GiB", "todo": "free some space"}]


@pytest.mark.slow
def test_here_and_now(capsys: pytest.CaptureFixture[str]) -> None:
    """The whole of it on this machine: whatever it finds, every line that is not fine says what to do."""
    doctor.main(["--json"])
    checks = [Check(**c) for c in json.loads(capsys.readouterr().out)["checks"]]
    assert {"Python", "OpenGL", "GPU", "rclpy", "ROS discovery", "disk", "shared memory"} <= {c.name for c in checks}
    assert taught(checks)

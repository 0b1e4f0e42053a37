"""A policy in a process of its own: the same actions, and what happens when that process dies."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from robot import bundle
from robot.control.inference import random_observation, run_job
from robot.errors import BundleError, PixelarmError
from robot.inference.layout import ALIGNED, Layout
from robot.inference.process import InferenceProcess

ROOT = Path(__file__).resolve().parents[3]


@pytest.fixture
def process(lift_bundle: Path) -> Iterator[InferenceProcess]:
    made = InferenceProcess(lift_bundle)
    yield made
    made.close()


def test_it_acts_like_the_policy_in_this_process(process: InferenceProcess, lift_bundle: Path) -> None:
    here, rng = bundle.load(lift_bundle), np.random.default_rng(0)
    for _ in range(5):
        observation = random_observation(here.contract, rng)
        np.testing.assert_array_equal(process.act(observation), here.act(observation))
    assert process.contract == here.contract and process.starts == 1


@pytest.mark.parametrize("noticed", [False, True])
def test_one_that_is_killed_says_so_and_another_one_takes_its_place(process: InferenceProcess, noticed: bool) -> None:
    """As the loop sees it: a job that failed, and the next one that does not; also where its end was seen before."""
    observation = random_observation(process.contract, np.random.default_rng(0))
    before = process.act(observation)
    assert process._process is not None
    os.kill(process._process.pid, signal.SIGKILL)
    if noticed:
        process._process.wait()
    failed = run_job(1, process.act, observation)
    assert failed.actions is None and "the process of the policy has ended" in failed.error
    assert process.starts == 1  # it is said before another one is waited for
    np.testing.assert_array_equal(process.act(observation), before)
    assert process.starts == 2


def test_one_that_hangs_is_ended(process: InferenceProcess, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("robot.inference.process.ANSWER_S", 0.2)
    observation = random_observation(process.contract, np.random.default_rng(0))
    assert process._process is not None
    os.kill(process._process.pid, signal.SIGSTOP)
    with pytest.raises(PixelarmError, match=r"has not answered for 0\.2 s: it is ended"):
        process.act(observation)
    monkeypatch.setattr("robot.inference.process.ANSWER_S", 30.0)
    assert np.isfinite(process.act(observation)).all()


def test_an_end_in_the_middle_of_an_answer_is_an_error_and_starts_nothing(process: InferenceProcess) -> None:
    observation = random_observation(process.contract, np.random.default_rng(0))
    child = process._process
    assert child is not None
    os.kill(child.pid, signal.SIGSTOP)
    threading.Timer(0.3, process.close).start()
    with pytest.raises(PixelarmError, match="was ended|has ended"):
        process.act(observation)
    with pytest.raises(PixelarmError, match="was ended"):
        process.act(observation)
    assert process.starts == 1 and child.poll() is not None


def test_nothing_of_it_stays_on_the_file_system(process: InferenceProcess) -> None:
    assert not list(Path("/dev/shm").glob("pixelarm-*"))


def test_it_ends_with_the_process_that_started_it(lift_bundle: Path) -> None:
    """However that ends."""
    script = (
        "import sys, time; from robot.inference.process import InferenceProcess as P; "
        "p = P(sys.argv[1]); print(p._process.pid, flush=True); time.sleep(60)"
    )
    parent = subprocess.Popen(
        [sys.executable, "-c", script, str(lift_bundle)], stdout=subprocess.PIPE, text=True, cwd=ROOT
    )
    assert parent.stdout is not None
    child = int(parent.stdout.readline())
    parent.kill()
    parent.wait()
    end = time.monotonic() + 10.0
    while Path(f"/proc/{child}").exists() and "Z" not in Path(f"/proc/{child}/stat").read_text().split()[2]:
        assert time.monotonic() < end, "it goes on without its parent"
        time.sleep(0.02)


def test_what_is_wrong_there_is_said_here(lift_bundle: Path, tmp_path: Path) -> None:
    with pytest.raises(BundleError, match="in the process of the policy: BundleError: .* only by cpu: install onnx"):
        InferenceProcess(lift_bundle, provider="cuda")
    with pytest.raises(PixelarmError, match="nothing cannot be started .*: name a Python"):
        InferenceProcess(lift_bundle, python=str(tmp_path / "nothing"))
    with pytest.raises(PixelarmError, match="has ended"):
        InferenceProcess(lift_bundle, python="/bin/false")
    with pytest.raises(BundleError, match="is not a policy bundle"):
        InferenceProcess(tmp_path)


def test_providers_that_are_not_here_are_refused_by_name() -> None:
    assert bundle.providers("auto") == bundle.providers("cpu") == ["CPUExecutionProvider"]
    with pytest.raises(BundleError, match="cannot run a policy by tensorrt, only by cpu"):
        bundle.providers("tensorrt")
    with pytest.raises(BundleError, match="unknown provider 'gpu'; the valid names are: auto, cpu, cuda, tensorrt"):
        bundle.providers("gpu")


def test_a_gpu_is_taken_where_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    import onnxruntime

    monkeypatch.setattr(
        onnxruntime, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"]
    )
    assert bundle.providers("auto") == bundle.providers("cuda") == ["CUDAExecutionProvider", "CPUExecutionProvider"]


def test_arrays_lie_apart_and_hold_a_history(lift_bundle: Path) -> None:
    contract = replace(bundle.read(lift_bundle)[1], history=3)
    layout = Layout.of(contract)
    camera = contract.cameras[0]
    assert layout.arrays[camera.name] == ((3, *camera.shape), np.dtype(np.uint8), 0)
    ends = [offset + int(np.prod(shape)) * kind.itemsize for shape, kind, offset in layout.arrays.values()]
    starts = [offset for _, _, offset in layout.arrays.values()] + [layout.size]
    assert all(end <= start < end + ALIGNED for end, start in zip(ends, starts[1:]))

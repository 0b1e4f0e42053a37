"""Many environments in worker processes are the single one many times, whoever shares the work and however it ends."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from gymnasium.vector import AutoresetMode

from robot.errors import PixelarmError
from sim.envs.task_env import TaskEnv
from sim.envs.vector import VectorEnv, WorkerFailed, env_seed, episode_seed
from sim.tasks import make_task

HERE = Path(__file__).resolve().parent


def short(steps=5):
    task = make_task("lift", image_size=32)
    task.max_steps = steps
    return task


def actions_of(envs, steps, seed=0):
    return np.random.default_rng(seed).uniform(-0.04, 0.04, (steps, envs, 4)).astype(np.float32)


@pytest.fixture
def clean_shm(in_shared_memory):
    before = in_shared_memory()
    yield
    wait_until(lambda: in_shared_memory() <= before, seconds=5.0)  # another test's may be there for a moment


def wait_until(condition, seconds=60.0):
    until = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < until, "waited in vain"
        time.sleep(0.02)


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"


def play(workers, actions, seed=0):
    with VectorEnv(short(), actions.shape[1], workers=workers) as envs:
        seen = [envs.reset(seed=seed)]
        for action in actions:
            seen.append(envs.step(action))
    return seen


def same(a, b):
    if isinstance(a, dict):
        assert a.keys() == b.keys()
        return all(same(a[key], b[key]) for key in a)
    if isinstance(a, tuple):
        return len(a) == len(b) and all(same(x, y) for x, y in zip(a, b))
    if isinstance(a, np.ndarray) and a.dtype == object:
        return all((x is None and y is None) or same(x, y) for x, y in zip(a, b))
    return np.array_equal(a, b)


def test_each_environment_is_a_task_env_step_by_step(clean_shm):
    """12 steps of 3 environments, through two automatic resets each, pixel by pixel;
    the single ones are reset by hand.
    """
    actions = actions_of(3, 12)
    seen = play(2, actions)
    for i in range(3):
        env, seed, episode = TaskEnv(short()), env_seed(0, i), 0
        observation, _ = env.reset(seed=seed)
        assert all(np.array_equal(seen[0][0][name][i], observation[name]) for name in observation)
        for step, action in enumerate(actions):
            got, rewards, terminated, truncated, infos = seen[step + 1]
            observation, reward, term, trunc, info = env.step(action[i])
            assert (rewards[i], terminated[i], truncated[i]) == (reward, term, trunc)
            if term or trunc:
                final = infos["final_obs"][i]
                assert all(np.array_equal(final[name], observation[name]) for name in observation)
                assert infos["final_info"]["success"][i] == info["success"]
                episode += 1
                observation, info = env.reset(seed=episode_seed(seed, episode))
            else:
                assert "final_obs" not in infos or infos["final_obs"][i] is None
            assert infos["success"][i] == info["success"]
            assert all(np.array_equal(got[name][i], observation[name]) for name in observation)
        env.close()
        assert episode == 2


@pytest.mark.slow
def test_the_number_of_workers_changes_nothing(clean_shm):
    actions = actions_of(3, 8)
    one, two, three = (play(workers, actions, seed=4) for workers in (1, 2, 3))
    for a, b, c in zip(one, two, three):
        assert same(a, b) and same(a, c)
    assert not np.array_equal(one[0][0]["agentview"][0], one[0][0]["agentview"][1])


def test_environment_i_does_not_depend_on_how_many_there_are(clean_shm):
    few, many = play(1, actions_of(3, 3)[:, :2]), play(1, actions_of(3, 3))
    for a, b in zip(few, many):
        assert all(np.array_equal(a[0][name], b[0][name][:2]) for name in a[0])


def test_seeds_of_neighbouring_runs_share_nothing():
    seeds = [env_seed(run, i) for run in range(20) for i in range(20)]
    seeds += [episode_seed(env_seed(0, i), episode) for i in range(20) for episode in range(1, 20)]
    assert len(set(seeds)) == len(seeds) == 780
    assert episode_seed(123, 0) == 123


def test_it_keeps_gymnasiums_promises(clean_shm):
    with VectorEnv(short(), 2, workers=1) as envs:
        assert envs.metadata["autoreset_mode"] == AutoresetMode.SAME_STEP
        observations, infos = envs.reset(seed=[11, 12])
        assert envs.episode_seeds == [11, 12]
        assert observations in envs.observation_space and envs.action_space.sample().shape == (2, 4)
        assert infos["_success"].all()
        envs.reset()
        assert envs.episode_seeds == [episode_seed(11, 1), episode_seed(12, 1)]
        later, rewards, *_ = envs.step(actions_of(2, 1)[0])
        assert rewards.dtype == np.float32 and not np.shares_memory(later["eef_pos"], observations["eef_pos"])


def test_views_instead_of_copies_on_request(clean_shm):
    with VectorEnv(short(), 2, workers=1, copy=False) as envs:
        first, _ = envs.reset(seed=0)
        second = envs.step(actions_of(2, 1)[0])[0]
        assert np.shares_memory(first["agentview"], second["agentview"])


def test_state_dict_continues_with_another_number_of_workers(clean_shm):
    actions = actions_of(3, 12)
    with VectorEnv(short(), 3, workers=1) as envs:
        envs.reset(seed=1)
        for action in actions[:7]:
            envs.step(action)
        state = envs.state_dict()
        straight = [envs.step(action) for action in actions[7:]]
    with VectorEnv(short(), 3, workers=2) as envs:
        envs.load_state_dict(state)
        resumed = [envs.step(action) for action in actions[7:]]
    assert all(same(a, b) for a, b in zip(straight, resumed))


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("kill", "was killed by SIGKILL"),
        ("exit", "ended with exit status 7"),
        ("raise", "raised ZeroDivisionError: the cube melted"),
        ("hang", "gave no answer for 3 s"),
    ],
)
def test_a_dead_worker_is_reported_with_its_seed_and_last_action(monkeypatch, clean_shm, how, words):
    monkeypatch.syspath_prepend(str(HERE))
    from vector_tasks import Fragile

    envs = VectorEnv(Fragile(how), 3, workers=2)
    try:
        pids = [process.pid for process in envs._processes]
        envs.reset(seed=5)
        envs._timeout_s = 3.0
        actions = np.zeros((3, 4), np.float32)
        actions[:, 3] = -1.0
        envs.step(actions)
        actions[1] = (0.01, 0.02, 0.03, 1.0)
        with pytest.raises(WorkerFailed) as caught:
            envs.step(actions)
    finally:
        envs.close()
    said = str(caught.value)
    assert f"worker 0 of 2 {words}" in said
    assert f"in environment 1 of task 'lift': seed {env_seed(5, 1)}, step 2 of the episode" in said
    assert "last action [0.0099" in said and ", 1.0]" in said
    assert ("in success" in said) == (how == "raise")  # the worker's own traceback
    assert not any(alive(pid) for pid in pids)
    with pytest.raises(PixelarmError, match="closed"):
        envs.reset()


def test_a_worker_that_cannot_start_says_why(clean_shm):
    task = short()
    task.camera_in_scene = {**task.camera_in_scene, "agentview": "moonview"}
    envs = VectorEnv(task, 1)
    with pytest.raises(WorkerFailed, match="unknown camera 'moonview'; the valid names are: .*agentview"):
        envs.reset(seed=0)
    with pytest.raises(WorkerFailed, match="actuation_delay_ms must be .* during 'start'"):
        VectorEnv(short(), 2, actuation_delay_ms=(0.0, 500.0))


@pytest.mark.parametrize("actions", [np.zeros((2, 4)), np.zeros((3, 3)), np.full((3, 4), np.nan)])
def test_senseless_actions_are_refused_and_nothing_is_closed(clean_shm, actions):
    with VectorEnv(short(), 3, workers=1) as envs:
        with pytest.raises(PixelarmError, match="reset"):
            envs.step(np.zeros((3, 4)))
        envs.reset(seed=0)
        with pytest.raises(ValueError, match=r"actions are \(3, 4\) finite numbers"):
            envs.step(actions)
        envs.step(np.zeros((3, 4)))


def test_calls_out_of_turn_are_refused(clean_shm):
    with VectorEnv(short(), 1) as envs:
        envs.reset(seed=0)
        with pytest.raises(PixelarmError, match="without step_async"):
            envs.step_wait()
        envs.step_async(np.zeros((1, 4)))
        with pytest.raises(PixelarmError, match="still busy with 'step'"):
            envs.reset()
        envs.step_wait()
    with pytest.raises(PixelarmError, match="at least 1"):
        VectorEnv(short(), 0)


SCRIPT = """
import sys
from sim.tasks import make_task
from sim.envs.vector import VectorEnv

if __name__ == "__main__":
    envs = VectorEnv(make_task("lift", image_size=32), 2, workers=2)
    envs.reset(seed=0)
    print(*[process.pid for process in envs._processes], flush=True)
    {then}
"""
STEPPING = "while True: envs.step(envs.action_space.sample())"


def start(tmp_path, then):
    """Run the script in a process group of its own; returns it and its workers' process ids."""
    file = tmp_path / "script.py"
    file.write_text(SCRIPT.format(then=then))
    process = subprocess.Popen(
        [sys.executable, str(file)],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        env={**os.environ, "PYTHONPATH": str(HERE.parents[2])},
    )
    pids = [int(pid) for pid in process.stdout.readline().split()]
    assert len(pids) == 2, process.communicate()[1]
    return process, pids


@pytest.mark.parametrize(
    ("number", "then"),
    [
        (signal.SIGINT, STEPPING),
        (signal.SIGINT, "import time; time.sleep(60)"),
        (signal.SIGTERM, STEPPING),
        (signal.SIGKILL, STEPPING),
        (signal.SIGKILL, "import time; time.sleep(60)"),
    ],
)
def test_workers_leave_with_their_parent(tmp_path, clean_shm, number, then):
    """Ctrl-C goes to the whole group as a terminal would send it; SIGTERM and SIGKILL to the parent alone."""
    process, pids = start(tmp_path, then)
    (os.killpg if number == signal.SIGINT else os.kill)(process.pid, number)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == -number
    wait_until(lambda: not any(alive(pid) for pid in pids))
    assert errors.count("Traceback") == (1 if number == signal.SIGINT else 0), errors
    assert "leaked" not in errors


def test_all_killed_at_once_leaves_nothing(tmp_path, clean_shm):
    process, pids = start(tmp_path, STEPPING)
    os.killpg(process.pid, signal.SIGKILL)  # the resource tracker dies too, so nobody is left to clean up
    process.communicate(timeout=60)
    wait_until(lambda: not any(alive(pid) for pid in pids))


@pytest.mark.parametrize("then", ["pass", "raise SystemExit(3)", "envs.step(0)", "envs.close(); envs.close()"])
@pytest.mark.thorough
def test_a_script_that_forgets_to_close_still_ends(tmp_path, clean_shm, then):
    process, pids = start(tmp_path, then)
    _, errors = process.communicate(timeout=60)
    assert process.returncode == {"raise SystemExit(3)": 3, "envs.step(0)": 1}.get(then, 0)
    assert errors.count("Traceback") == (then == "envs.step(0)") and "leaked" not in errors
    wait_until(lambda: not any(alive(pid) for pid in pids))

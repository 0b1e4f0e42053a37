"""Killed and resumed equals uninterrupted, to the last bit."""

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import asdict
from pathlib import Path

import pytest
import torch
from numpy import load as load_array
from safetensors.torch import load_file

from policies.config import TaskConfig, TrainConfig
from policies.runs import checkpoint, snapshots
from policies.training.checks import require_same_config
from policies.training.train import compose, train
from robot.errors import PixelarmError
from sim.demonstrations import collect
from sim.envs.make import make

OVERRIDES = [
    "recipe.demos=2", "recipe.pretrain_updates=3", "recipe.clone_updates=5", "recipe.steps=90",
    "recipe.critic_warmup=40", "recipe.batch_size=8", "trainer.eval_every=45", "trainer.eval_episodes=1",
    "trainer.log_every=10", "trainer.checkpoint_every=20", "trainer.accelerator=cpu", "trainer.threads=1",
    "task.image_size=32", "algo.actor.gaussian.hidden=32", "algo.critic.mlp.hidden=32",
]  # fmt: skip


CHOOSING = [
    "experiment=ferm_pp", "algo.prior=clone", "algo.gripper=values", "recipe.learning_starts=30", "recipe.head_start=3",
    "recipe.critic_warmup=30",
]  # fmt: skip


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "demos"
    env = make("lift", image_size=32)
    collect(env, folder, episodes=2, seed=1)
    env.close()
    return folder


def final_state(run: Path) -> dict[str, torch.Tensor]:
    newest = checkpoint.newest(run / "checkpoints" / "rank0")
    assert newest is not None and newest.name == "step_000000090"
    return load_file(newest / "agent.safetensors")


def kill_after_checkpoint(run: Path, demos: Path, step: int, *more: str) -> None:
    """Start the run as a user would, and shoot it some steps after a checkpoint."""
    command = [sys.executable, "-m", "robot.cli", "train", *options(*more), f"demos={demos}", f"run={run}"]
    process = subprocess.Popen(
        command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=os.environ | {"OMP_NUM_THREADS": "1"}
    )
    limit = time.monotonic() + 120
    while not (run / "checkpoints" / "rank0" / f"step_{step:09d}").exists():
        assert process.poll() is None and time.monotonic() < limit
        time.sleep(0.01)
    time.sleep(0.15)
    process.send_signal(signal.SIGKILL)
    process.wait()


def options(*more: str) -> list[str]:
    """Those of every run here, without what another kind of actor does not have."""
    return [*(o for o in OVERRIDES if not (more and "gaussian" in o)), *more]


@pytest.mark.train
@pytest.mark.parametrize(
    "more",
    [[], CHOOSING, pytest.param(["trainer.precision=bf16-mixed"], marks=pytest.mark.thorough)],
    ids=["ferm_plus", "choosing", "bfloat16"],
)
def test_killed_and_resumed_equals_uninterrupted(demos, tmp_path, more):
    straight, killed = tmp_path / "straight", tmp_path / "killed"
    train(compose([*options(*more), f"demos={demos}", f"run={straight}"]))
    kill_after_checkpoint(killed, demos, 40, *more)
    assert not (killed / "checkpoints" / "rank0" / "step_000000090").exists()
    with pytest.raises(PixelarmError, match="holds a run already; add resume=true"):
        train(compose([*options(*more), f"demos={demos}", f"run={killed}"]))
    train(compose([*options(*more), f"demos={demos}", f"run={killed}", "resume=true"]))
    a, b = final_state(straight), final_state(killed)
    assert a.keys() == b.keys() and all(torch.equal(a[k], b[k]) for k in a)
    for memory in ("online", "demos"):
        for file in sorted((straight / "checkpoints/rank0/step_000000090" / memory).iterdir()):
            assert file.read_bytes() == (killed / "checkpoints/rank0/step_000000090" / memory / file.name).read_bytes()
    for run in (straight, killed):  # at 1/16, 1/8, 1/4, 1/2 and all of 90 steps
        assert list(snapshots.kept(run)) == [6, 12, 23, 45, 90]
    one, other = (load_file(snapshots.kept(run)[45]) for run in (straight, killed))
    assert one.keys() == other.keys() and all(torch.equal(one[k], other[k]) for k in one)
    steps = [
        json.loads(line)["step"] for line in (killed / "metrics.jsonl").read_text().splitlines() if '"train"' in line
    ]
    assert steps == sorted(set(steps))  # no step is logged twice


@pytest.mark.train
@pytest.mark.parametrize("more", [[], pytest.param(["resume=true"], marks=pytest.mark.thorough)])
def test_a_second_run_in_the_same_folder_is_refused_while_the_first_goes_on(demos, tmp_path, more):
    """The second as a user would start it. The first ends as if it had been alone, its log unmixed."""
    command = [sys.executable, "-m", "robot.cli", "train", *OVERRIDES, f"demos={demos}", f"run={tmp_path / 'r'}"]
    first = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    limit = time.monotonic() + 120
    while not (tmp_path / "r" / "checkpoints").exists():
        assert first.poll() is None and time.monotonic() < limit
        time.sleep(0.01)
    first.send_signal(signal.SIGSTOP)  # it lives, however quick it is
    second = subprocess.run([*command, *more], capture_output=True, text=True, timeout=120)
    first.send_signal(signal.SIGCONT)
    assert second.returncode == 2 and f"r is in use by process {first.pid} on" in second.stderr, second.stderr
    assert first.wait(120) == 0
    lines = [json.loads(line) for line in (tmp_path / "r" / "metrics.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines if line["kind"] == "train"] == [70, 80, 90]
    assert final_state(tmp_path / "r")


def damage(checkpoint_folder: Path, how: str) -> None:
    if how == "state":
        (checkpoint_folder / "state.json").write_text("{}")
    elif how == "not json":
        (checkpoint_folder / "state.json").write_text("{")
    elif how == "agent":
        (checkpoint_folder / "agent.safetensors").write_bytes(b"x")
    elif how == "pickle":
        (checkpoint_folder / "online" / "action.npy").write_bytes(b"x")
    elif how == "missing":
        (checkpoint_folder / "online" / "action.npy").unlink()
    else:
        shutil.copy(checkpoint_folder / "online" / "reward.npy", checkpoint_folder / "online" / "action.npy")


@pytest.fixture(scope="module")
def finished(demos, tmp_path_factory):
    run = tmp_path_factory.mktemp("finished") / "r"
    train(compose([*OVERRIDES, "recipe.steps=20", f"demos={demos}", f"run={run}"]))
    return run


@pytest.mark.train
@pytest.mark.parametrize("how", ["state", "not json", "agent", "pickle", "missing", "another array"])
def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_whole(demos, finished, tmp_path, how):
    run = shutil.copytree(finished, tmp_path / "r")
    (run / "checkpoints" / "rank0" / "step_of_somebody").mkdir()  # no checkpoint, and no trouble
    newest = checkpoint.newest(run / "checkpoints" / "rank0")
    damage(newest, how)
    resume = [*OVERRIDES, "recipe.steps=20", f"demos={demos}", f"run={run}", "resume=true"]
    with pytest.raises(
        PixelarmError, match="step_000000020(/.* is not| is damaged .*; remove it, and resume=true goes on)"
    ):
        train(compose(resume))
    shutil.rmtree(newest)
    train(compose(resume))
    assert checkpoint.newest(run / "checkpoints" / "rank0").name == "step_000000020"


@pytest.mark.train
def test_a_resumed_run_must_be_the_same_run(demos, tmp_path, capfd):
    short = [*OVERRIDES, "recipe.steps=20", f"demos={demos}", f"run={tmp_path / 'r'}"]
    train(compose([*short, "resume=true"]))
    assert "nothing to resume in" in capfd.readouterr().err
    with pytest.raises(PixelarmError, match="algo.discount: 0.96 then, 0.9 now"):
        train(compose([*short, "resume=true", "algo.discount=0.9"]))
    assert "discount: 0.96" in (tmp_path / "r" / "config.yaml").read_text()  # a refusal leaves the run as it was


def test_a_checkpoint_from_before_an_option_existed_is_the_same_run_at_its_default(tmp_path):
    older = asdict(TrainConfig())
    del older["task"]["hold_steps"]
    require_same_config(older, asdict(TrainConfig(task=TaskConfig(hold_steps=1))), tmp_path)
    with pytest.raises(PixelarmError, match="task.hold_steps: 1 then, 3 now"):
        require_same_config(older, asdict(TrainConfig(task=TaskConfig(hold_steps=3))), tmp_path)


@pytest.mark.train
@pytest.mark.slow
@pytest.mark.thorough
def test_two_devices_stay_one_agent(demos, tmp_path):
    """Two CPU processes average their gradients: after 20 steps their networks are the same, their replay memories are
    not.

    The 20 steps are those of both together. When only one of them has written the last checkpoint, they go on from the
    one before.
    """
    run = tmp_path / "two"
    command = [
        sys.executable,
        "-m",
        "robot.cli",
        "train",
        *OVERRIDES,
        "recipe.steps=20",
        "trainer.checkpoint_every=10",
        "trainer.devices=2",
        f"demos={demos}",
        f"run={run}",
    ]
    subprocess.run(command, check=True, timeout=300, capture_output=True)
    checkpoints = [run / "checkpoints" / f"rank{r}" for r in (0, 1)]
    states = [load_file(folder / "step_000000020" / "agent.safetensors") for folder in checkpoints]
    networks = [k for k in states[0] if not k.startswith("generator")]
    assert all(torch.equal(states[0][k], states[1][k]) for k in networks)
    memories = [(run / f"checkpoints/rank{r}/step_000000020/online/action.npy").read_bytes() for r in (0, 1)]
    assert memories[0] != memories[1]
    assert [len(load_array(folder / "step_000000020" / "online" / "action.npy")) for folder in checkpoints] == [11, 11]
    shutil.rmtree(checkpoints[1] / "step_000000020")
    subprocess.run([*command, "resume=true"], check=True, timeout=300, capture_output=True)
    again = [load_file(folder / "step_000000020" / "agent.safetensors") for folder in checkpoints]
    assert all(torch.equal(states[r][k], again[r][k]) for r in (0, 1) for k in states[r])


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("recipe.batch_size=1", "contrastive learning needs a batch of at least 2"),
        ("recipe.demo_fraction=0", "no demonstration row would ever be cloned"),
        ("recipe.demo_fraction=0", "nothing would be drawn from what they join"),
        ("recipe.demo_fraction=1.5", "demo_fraction must be between 0 and 1"),
        ("recipe.batch_size=0", "batch_size must be at least 1"),
        ("recipe.frames=900", "recipe.steps=90 and recipe.frames=900 both say how long"),
        ("recipe.random_steps=1", "at least 2 to measure"),
        (
            "task.hold_steps=3",
            "hold_steps: 3 in this run, 5 in .*: learn with task.hold_steps=5, or record others with --hold-steps 3",
        ),
        (
            "task.look=textured",
            "look: 'textured' in this run.*: learn with task.look=plain, or record others with --look textured",
        ),
        (
            "task.randomise=[mass,lights]",
            r"learn with task.randomise=\[\], or record others with --randomise lights mass",
        ),
        (
            "task.actuation_delay_ms=[0,40]",
            r"task.actuation_delay_ms=\[0,50\], or record others with --actuation-delay-ms 0 40",
        ),
        ("recipe.demos=9", "recipe.demos=9 demonstrations are to be used, and .* holds 2: set recipe.demos=2"),
        ("task.name=lfit", "unknown task 'lfit'; the valid names are: .*lift"),
        ("task.image_size=48", "cameras.agentview.height: 48 here, 32 there(.|\n)*--image-size 48 --out"),
        ("demos=nowhere", "nowhere is not a dataset(.|\n)*pixelarm collect --task lift --episodes 2"),
        ("algo.augmentation=[blur]", "unknown augmentation 'blur'"),
    ],
)
def test_a_recipe_that_cannot_run_is_refused_before_the_first_step(demos, tmp_path, override, words):
    with pytest.raises(PixelarmError, match=words):
        train(compose([*OVERRIDES, f"demos={demos}", f"run={tmp_path / 'r'}", override]))


def test_one_bad_file_is_moved_away_rather_than_all_recorded_anew(demos, tmp_path):
    folder = shutil.copytree(demos, tmp_path / "demos")
    (folder / "episode_000001.hdf5").write_bytes(b"half")
    with pytest.raises(PixelarmError, match="move episode_000001.hdf5 out of") as refused:
        train(compose([*OVERRIDES, f"demos={folder}", f"run={tmp_path / 'r'}"]))
    assert "pixelarm collect" not in str(refused.value)


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_refused_in_words(demos, tmp_path):
    with pytest.raises(PixelarmError, match="torch sees 0 GPUs here(.|\n)*trainer=cpu"):
        train(compose([f"demos={demos}", f"run={tmp_path / 'r'}", "trainer=gpus"]))
    assert not (tmp_path / "r").exists()


def test_an_unknown_option_is_refused_with_its_name():
    done = subprocess.run(
        [sys.executable, "-m", "robot.cli", "train", "algo.discout=0.9"], capture_output=True, text=True
    )
    assert done.returncode != 0 and "discout" in done.stderr
    done = subprocess.run(
        [sys.executable, "-m", "robot.cli", "train", "experiment=fermi"], capture_output=True, text=True
    )
    assert done.returncode != 0 and "experiment/fermi" in done.stderr and "ferm" in done.stderr

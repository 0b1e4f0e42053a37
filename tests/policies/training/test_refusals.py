"""What a run cannot do is said before an environment or a network is built, and before anything is written."""

import logging
import math
import os
import subprocess
import sys
from dataclasses import asdict

import pytest
import torch
from conftest_policies import random_episode, tiny_contract
from torch.multiprocessing import ProcessRaisedException

import sim.envs.make
from policies.config import TrainConfig
from policies.runs.find import flatten
from policies.training import train as train_module
from policies.training.checks import BOUNDS, Bounds
from policies.training.train import compose, main, train
from robot.dataset.episodes import write_episode
from robot.errors import PixelarmError
from robot.files import Claim

CPU = ["trainer.accelerator=cpu"]


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    """Five episodes of a task that is no simulator's: enough to be counted."""
    folder = tmp_path_factory.mktemp("data") / "demos"
    folder.mkdir()
    for number in range(5):
        write_episode(folder / f"episode_{number:06d}.hdf5", random_episode(tiny_contract(), 2, number))
    return folder


@pytest.fixture(autouse=True)
def nothing_is_built(monkeypatch):
    def build(*_):
        raise AssertionError("an environment is built")

    monkeypatch.setattr(sim.envs.make, "make_env", build)


def test_every_number_of_a_run_has_bounds_that_its_default_keeps():
    """The agent's own are ``check_agent``'s; ``bc_weight`` may be a schedule and is checked at both of its ends."""
    options = flatten(asdict(compose(CPU)))
    numbers = {name for name, value in options.items() if isinstance(value, (int, float)) and type(value) is not bool}
    others = {name for name in numbers if not name.startswith("algo.")} | {"algo.history"}
    assert others - {"recipe.bc_weight"} == set(BOUNDS)
    assert not any(bounds.problem(name, options[name]) for name, bounds in BOUNDS.items())


def test_bounds():
    assert [Bounds(1, 3).problem("x", value) != "" for value in (0, 1, 3, 4)] == [True, False, False, True]
    assert [Bounds(0, above=True).problem("x", value) != "" for value in (-1, 0, 1e-9)] == [True, True, False]
    assert all(Bounds(0).problem("x", value) for value in (math.nan, math.inf, -math.inf))
    assert Bounds(2, 7).problem("trainer.x", 9) == "trainer.x must be between 2 and 7, got 9"
    assert Bounds(2).problem("trainer.x", 1) == "trainer.x must be at least 2, got 1"


@pytest.mark.parametrize(
    ("override", "words"),
    [
        ("seed=-1", "seed must be between 0 and 4294967295, got -1"),
        ("seed=4294967296", "seed must be between 0"),
        ("task.image_size=0", "task.image_size must be between 1 and 2048, got 0"),
        ("task.image_size=100000", "task.image_size must be between 1"),
        ("algo.history=0", "algo.history must be between 1 and 100, got 0"),
        (
            "algo.history=1000000",
            "algo.history must be between 1 and 100",
        ),  # the machine's memory, and the run is killed
        ("task.action_repeat=-1", "task.action_repeat must be at least 0"),
        ("task.hold_steps=0", "task.hold_steps must be at least 1"),
        (
            "recipe.success_fraction=0.8",
            "demo_fraction=0.5 and success_fraction=0.8 share one batch: together at most 1",
        ),
        ("recipe.episode_limit=-1", "recipe.episode_limit must be at least 0"),
        ("task.actuation_delay_ms=[50,0]", r"must be \[LOW,HIGH\] with 0 <= LOW <= HIGH, got \[50.0, 0.0\]"),
        ("task.actuation_delay_ms=[5]", r"must be \[LOW,HIGH\]"),
        ("task.observation_delay_ms=[50,0]", r"task.observation_delay_ms must be \[LOW,HIGH\]"),
        ("recipe.demos=-1", "recipe.demos must be at least 0"),
        ("recipe.steps=-5", "recipe.steps must be at least 0, got -5"),
        ("recipe.frames=-5", "recipe.frames must be at least 0"),
        ("recipe.clone_updates=-1", "recipe.clone_updates must be at least 0, got -1"),
        ("recipe.pretrain_updates=-1", "recipe.pretrain_updates must be at least 0"),
        ("recipe.updates_per_step=0", "recipe.updates_per_step must be more than 0, got 0"),
        ("recipe.updates_per_step=nan", "recipe.updates_per_step must be more than 0, got nan"),
        ("recipe.updates_per_step=inf", "recipe.updates_per_step must be more than 0, got inf"),
        ("recipe.critic_warmup=-1", "recipe.critic_warmup must be at least 0"),
        ("recipe.learning_starts=0", "recipe.learning_starts must be at least 1"),
        ("recipe.bc_weight=-1", "the start of recipe.bc_weight must be at least 0, got -1"),
        ("recipe.bc_weight='linear(1,-2,10)'", "the end of recipe.bc_weight must be at least 0, got -2"),
        ("recipe.replay_capacity=1", "recipe.replay_capacity must be at least 2"),
        ("recipe.random_steps=-3", "recipe.random_steps must be at least 0"),
        ("trainer.devices=0", "trainer.devices must be at least 1"),
        ("trainer.threads=-1", "trainer.threads must be at least 0"),
        ("trainer.eval_episodes=-1", "trainer.eval_episodes must be at least 0"),
        ("trainer.patience=-1", "trainer.patience must be at least 0"),
        ("trainer.accelerator=tpu", "trainer.accelerator must be one of auto, cpu, cuda, gpu, mps, got 'tpu'"),
        ("trainer.compile=fast", "trainer.compile must be one of off, default, cuda-graphs, got 'fast'"),
        ("demos=''", "demos must name a folder"),
        ("algo.discount=2", "discount must be between 0 and 1"),
    ],
)
def test_a_number_out_of_bounds_is_refused(override, words, demos, tmp_path):
    with pytest.raises(PixelarmError, match=words):
        train(compose([*CPU, "recipe.demos=5", f"demos={demos}", f"run={tmp_path / 'r'}", override]))
    assert not (tmp_path / "r" / "config.yaml").exists()


def test_a_run_without_a_name_is_refused(demos):
    with pytest.raises(PixelarmError, match="run must name a folder"):
        train(compose([*CPU, f"demos={demos}", "run=''"]))


def test_demonstrations_are_counted_first_and_the_option_is_named(demos, tmp_path):
    """The default recipe uses ten."""
    with pytest.raises(
        PixelarmError, match="recipe.demos=10 .*demos holds 5: set recipe.demos=5, or record more: pixelarm"
    ):
        train(compose([*CPU, f"demos={demos}", f"run={tmp_path / 'r'}"]))
    for folder, why in ((tmp_path / "none", "no such folder"), (tmp_path, r"no episode_\*.hdf5 in it")):
        with pytest.raises(PixelarmError, match=f"is not a dataset .{why}.\n.*demos=FOLDER, or record one"):
            train(compose([*CPU, f"demos={folder}", f"run={tmp_path / 'r'}"]))


def test_a_place_that_takes_no_files_is_refused(demos, tmp_path):
    (tmp_path / "FILE").write_text("")
    with pytest.raises(PixelarmError, match="nothing can be written into .*/FILE/run: Not a directory"):
        train(compose([*CPU, "recipe.demos=5", f"demos={demos}", f"run={tmp_path / 'FILE' / 'run'}"]))
    place = f"recipe.replay_folder={tmp_path / 'FILE' / 'replay'}"
    with pytest.raises(PixelarmError, match="nothing can be written into .*/FILE/replay: Not a directory"):
        train(compose([*CPU, "recipe.demos=5", f"demos={demos}", f"run={tmp_path / 'r'}", place]))


@pytest.mark.parametrize("more", [[], ["resume=true"]])
def test_a_folder_in_which_another_run_trains_is_refused(more, demos, tmp_path):
    with Claim(tmp_path / "r", "training"):
        with pytest.raises(PixelarmError, match=f"r is in use by process {os.getpid()} on .*, training since"):
            train(compose([*CPU, "recipe.demos=5", f"demos={demos}", f"run={tmp_path / 'r'}", *more]))
    with pytest.raises(AssertionError, match="an environment is built"):  # it is free again
        train(compose([*CPU, "recipe.demos=5", f"demos={demos}", f"run={tmp_path / 'r'}", *more]))


def test_of_the_processes_that_torchrun_makes_the_first_owns_the_folder(demos, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("LOCAL_RANK", "0")
    reached = []
    monkeypatch.setattr(train_module, "_launch", lambda *_: reached.append(os.environ["RANK"]))
    cfg = compose([*CPU, "recipe.demos=5", f"demos={demos}", f"run={tmp_path / 'r'}"])
    with Claim(tmp_path / "r", "training"):
        monkeypatch.setenv("RANK", "1")
        train(cfg)
        monkeypatch.setenv("RANK", "0")
        with pytest.raises(PixelarmError, match="in use by"):
            train(cfg)
    train(cfg)
    assert reached == ["1", "0"]


def test_all_that_torchrun_has_made_learn_together(demos, tmp_path, monkeypatch):
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("WORLD_SIZE", "2")
    with pytest.raises(PixelarmError, match="learns on one device: trainer.devices must be 1, got 2"):
        train(compose([*CPU, "trainer.asynchronous=true", f"demos={demos}", f"run={tmp_path / 'r'}"]))


class Failing:
    """A fabric whose process ended with an error: torch hands over the text of its traceback."""

    def __init__(self, *errors):
        between = "\n\nThe above exception was the direct cause of the following exception:\n\n"
        self.text = "\n\n-- Process 0 terminated with the following error:\n" + between.join(
            f"Traceback (most recent call last):\n  File x, line 1\n{error}" for error in errors
        )

    def launch(self, *_):
        raise ProcessRaisedException(self.text + "\n", 0, 1)


def test_an_error_of_ours_in_one_of_several_processes_is_said_without_its_traceback(tmp_path):
    ours = Failing("robot.errors.ContractMismatch: inner", "robot.errors.PixelarmError: the words\n  - a line more")
    with pytest.raises(PixelarmError) as said:
        train_module._launch(ours, TrainConfig(), tmp_path)
    assert str(said.value) == "the words\n  - a line more"
    for bug in (Failing("KeyError: 'x'"), Failing("robot.errors.PixelarmError: inner", "KeyError: 'x'")):
        with pytest.raises(ProcessRaisedException):
            train_module._launch(bug, TrainConfig(), tmp_path)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["recipe.steps=abc"], "could not be converted to Integer"),
        (["nosuch=3"], "unknown option nosuch; the options there are: seed"),
        (["task.image_size='${nosuch}'"], "Interpolation key 'nosuch' not found"),
    ],
)
def test_a_wrong_option_is_one_of_our_errors(arguments, words):
    with pytest.raises(PixelarmError, match=words):
        compose(arguments)


@pytest.mark.thorough
def test_the_command_says_so_without_a_traceback_and_leaves_the_folder_alone(demos, tmp_path):
    """As a user calls it: Hydra prints nothing of its own, and writes nothing into a run that is refused."""
    with Claim(tmp_path / "r", "training"):
        for arguments, words in (
            ([f"run={tmp_path / 'r'}"], "r is in use by process"),
            ([f"run={tmp_path / 'r'}", "recipe.steps=-5"], "recipe.steps must be at least 0, got -5"),
            ([f"run={tmp_path / 'r'}", "recipe.steps=abc"], "could not be converted to Integer"),
        ):
            command = ["train", *CPU, "recipe.demos=5", f"demos={demos}", *arguments]
            done = subprocess.run(
                [sys.executable, "-m", "robot.cli", *command], capture_output=True, text=True, timeout=120
            )
            assert done.returncode == 2 and done.stderr.startswith("pixelarm: ") and words in done.stderr, done.stderr
            assert "Traceback" not in done.stderr and "HYDRA" not in done.stderr
    assert [path.name for path in (tmp_path / "r").iterdir()] == [".lock"]


@pytest.mark.skipif(torch.backends.mps.is_available(), reason="there is such a device")
def test_a_device_that_is_not_there_is_refused(demos, tmp_path):
    with pytest.raises(PixelarmError, match="trainer.accelerator=mps, but torch finds no such device"):
        train(compose(["trainer.accelerator=mps", "recipe.demos=5", f"demos={demos}", f"run={tmp_path / 'r'}"]))


def test_hydra_leaves_our_warnings_alone():
    """Its "disabled" logging silenced every logger that existed, the one that says the ray-caster draws among them."""
    log = logging.getLogger("sim.rendering.renderer")
    level = logging.root.level
    with pytest.raises(PixelarmError):
        main(["recipe.demos=0", "recipe.steps=5"])
    assert not log.disabled and logging.root.level == level

"""Play-LMP, SAILOR, TACO-RL and FIST that rehearses, on a few demonstrations, from skills to an exported policy;
and the data that the skills of SAILOR and of that FIST were learned from: found again when they are adapted, refused
when they are missing or others, and never carried on.
"""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from policies.evaluation.evaluate import load_actor
from policies.export.onnx import TOLERANCE, export
from policies.skills.fist import Fist
from policies.skills.sailor import Sailor
from policies.training import fit as fitting
from policies.training.skills import adapt, adapting, pretrain
from policies.training.train import compose
from policies.training.train import train as run_recipe
from robot.dataset.episodes import read_episode, write_episode
from robot.errors import DatasetError, PixelarmError
from sim.kitchen.folder import jobs_of, make_split

TINY = ["recipe.batch_size=8", "trainer=cpu", "trainer.threads=1", "trainer.log_every=5"]
NETWORK = ["algo.hidden=8", "algo.layers=1", "algo.recurrent=8"]
METHODS = ("play_lmp", "sailor", "taco_rl", "fist")
OF_IT = {"fist": ["algo.rehearsed=0.25"]}  # options of adapting

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split") / "no-kettle"
    assert len(list(make_split(jobs_of("no-kettle", folder, 2, 1, 3), "no-kettle", 1))) == 3
    return folder


@pytest.fixture(scope="module")
def skills(data, tmp_path_factory):
    """Runs of skills by method."""
    folder, found = tmp_path_factory.mktemp("skills"), {}
    for method in METHODS:
        found[method] = folder / method
        options = [f"experiment={method}", f"run={found[method]}", "recipe.fit_updates=3", *TINY, *NETWORK]
        assert pretrain([f"data={data}", *options]) == 0
    return found


def words(skills: Path, data: Path, run: Path, *options: str) -> list[str]:
    return [f"skills={skills}", f"demos={data / 'target'}", f"run={run}", "recipe.fit_updates=5", *TINY, *options]


@pytest.fixture(scope="module")
def adapted(skills, data, tmp_path_factory):
    folder = tmp_path_factory.mktemp("adapted")
    for method in METHODS:
        assert adapt(words(skills[method], data, folder / method, *OF_IT.get(method, []))) == 0
    return folder


def tensors(run: Path):
    return load_file(run / "policy" / "policy.safetensors")


@pytest.mark.parametrize("method", METHODS)
def test_an_adapted_policy_is_exported_as_it_acts(adapted, tmp_path, method):
    out, difference = export(adapted / method, tmp_path / "bundle")
    assert difference < TOLERANCE and not load_actor(out)[1].cameras


@pytest.mark.parametrize("method", METHODS)
def test_what_is_interrupted_goes_on_where_it_stopped(skills, adapted, data, tmp_path, monkeypatch, method):
    """Ctrl-C after 3 of 5 updates, with checkpoints of every second: the policy is the same, to the bit."""
    steps, report = [], fitting.Metrics.on_train_batch_end

    def interrupted(self, trainer, *others):
        report(self, trainer, *others)
        steps.append(trainer.global_step)
        if steps == [1, 2, 3]:
            raise KeyboardInterrupt

    monkeypatch.setattr(fitting.Metrics, "on_train_batch_end", interrupted)
    command = words(skills[method], data, tmp_path / "run", "trainer.checkpoint_every=2", *OF_IT.get(method, []))
    with pytest.raises(KeyboardInterrupt):
        adapt(command)
    adapt([*command, "resume=true"])
    assert steps == [1, 2, 3, 3, 4, 5]
    whole, pieces = tensors(adapted / method), tensors(tmp_path / "run")
    assert whole.keys() == pieces.keys() and all((whole[name] == pieces[name]).all() for name in whole)


def test_the_skills_data_are_found_again_and_a_tenth_of_them_learned_from(skills, adapted, data, tmp_path, monkeypatch):
    mixtures, retrieve = [], Sailor.beside_prior
    monkeypatch.setattr(
        Sailor, "beside_prior", lambda self, rows, prior: mixtures.append(retrieve(self, rows, prior)) or mixtures[-1]
    )
    adapt(words(skills["sailor"], data, tmp_path / "run"))
    lengths = [len(read_episode(path)) for path in sorted((data / "pretraining").glob("episode_*"))]
    whole = sum(length - 9 for length in lengths)
    assert len(mixtures[0].others) == round(0.1 * whole)
    about = json.loads((tmp_path / "run" / "policy" / "policy.json").read_text())
    assert about["config"]["recipe"]["prior_data"] == str(data / "pretraining")
    before, after = tensors(skills["sailor"]), tensors(tmp_path / "run")
    assert {name: value.shape for name, value in before.items()} == {name: value.shape for name, value in after.items()}
    assert not before["adapted"] and after["adapted"]
    assert (before["choice.0.weight"] != after["choice.0.weight"]).any()


def test_a_quarter_of_each_batch_is_rehearsed(skills, adapted, data, tmp_path, monkeypatch):
    """And what is looked up are the demonstration's moments alone."""
    batches, loss = [], Fist.loss
    monkeypatch.setattr(Fist, "loss", lambda self, batch: batches.append(batch) or loss(self, batch))
    adapt(words(skills["fist"], data, tmp_path / "run", *OF_IT["fist"]))
    assert [batch.target.tolist() for batch in batches] == [[True] * 6 + [False] * 2] * 5
    target = read_episode(next((data / "target").glob("episode_*")))
    assert len(tensors(tmp_path / "run")["seen"]) == len(target) + 1
    adapt(words(skills["fist"], data, tmp_path / "alone"))
    assert not any(hasattr(batch, "target") for batch in batches[5:])


def test_a_copy_of_the_data_elsewhere_will_do(skills, adapted, data, tmp_path):
    copied = shutil.copytree(data / "pretraining", tmp_path / "elsewhere")
    adapt(words(skills["sailor"], data, tmp_path / "run", f"recipe.prior_data={copied}"))
    one, other = tensors(adapted / "sailor"), tensors(tmp_path / "run")
    assert all((one[name] == other[name]).all() for name in one)


def test_data_that_are_missing_or_changed_are_refused(skills, data, tmp_path):
    def adapt_with(folder: Path):
        adapt(words(skills["sailor"], data, tmp_path / "run", f"recipe.prior_data={folder}"))

    with pytest.raises(DatasetError, match=r"nowhere holds 0 of the 2 episodes .* recipe.prior_data=FOLDER"):
        adapt_with(tmp_path / "nowhere")
    changed = shutil.copytree(data / "pretraining", tmp_path / "changed")
    episode = read_episode(changed / "episode_000001.hdf5")
    episode.actions[0] += 0.01
    (changed / "episode_000001.hdf5").unlink()
    write_episode(changed / "episode_000001.hdf5", episode)
    with pytest.raises(DatasetError, match=r"changed is not what the skills of .* were learned from"):
        adapt_with(changed)
    assert not (tmp_path / "run" / "policy").exists()


def test_skills_that_do_not_say_what_they_are_from_are_refused(skills, data, tmp_path):
    other = shutil.copytree(skills["sailor"], tmp_path / "other")
    (other / "skills.json").unlink()
    with pytest.raises(PixelarmError, match=r"does not say which data it was learned from .*pixelarm pretrain"):
        adapt(words(other, data, tmp_path / "run"))


def test_a_policy_over_skills_needs_updates(skills, data, tmp_path):
    with pytest.raises(PixelarmError, match=r"learned while it is adapted: recipe.fit_updates must be at least 1"):
        adapt(words(skills["sailor"], data, tmp_path / "run", "recipe.fit_updates=0"))


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["experiment=play_lmp", "recipe.skills=somewhere"], "is of play_lmp"),
        (["experiment=fist", "recipe.skills=somewhere"], "is of fist and has algo.rehearsed=0"),
        (["experiment=sailor"], "has no skills"),
        (["experiment=sailor", "recipe.skills=somewhere", "recipe.look_up=false"], "looks nothing up"),
    ],
)
def test_prior_data_that_nobody_would_read_are_refused(data, tmp_path, options, why):
    cfg = compose([*options, f"demos={data / 'target'}", f"run={tmp_path}", "recipe.prior_data=somewhere"])
    with pytest.raises(PixelarmError, match=f"recipe.prior_data would do nothing for a policy that {why}: leave it"):
        run_recipe(cfg)


def test_what_has_no_skills_rehearses_nothing(data, tmp_path):
    cfg = compose(["experiment=fist", f"demos={data / 'target'}", f"run={tmp_path}", "algo.rehearsed=0.5"])
    with pytest.raises(
        PixelarmError, match=r"algo.rehearsed=0.5 is of skills that are adapted, and this policy has none"
    ):
        run_recipe(cfg)


def test_agents_that_learn_online_have_no_prior_data(data, tmp_path):
    with pytest.raises(PixelarmError, match="recipe.skills, recipe.prior_data and recipe.look_up are for families"):
        run_recipe(compose(["experiment=curl", f"run={tmp_path}", "recipe.prior_data=somewhere"]))


def test_prior_data_that_are_not_named_are_asked_for(skills, data, tmp_path):
    cfg = compose(["experiment=sailor", f"recipe.skills={skills['sailor']}", f"run={tmp_path}", f"demos={data}"])
    with pytest.raises(PixelarmError, match="recipe.prior_data must name their folder"):
        run_recipe(cfg)


def test_how_far_goals_are_and_how_much_is_retrieved_may_change(skills, data):
    demos = data / "target"
    assert adapting(skills["play_lmp"], demos, 1, ["algo.goal_ahead=12"]).algo.goal_ahead == 12
    cfg = adapting(skills["sailor"], demos, 1, ["algo.retrieved=0.2", "algo.acting_weight=0"]).algo
    assert (cfg.retrieved, cfg.acting_weight, cfg.hidden) == (0.2, 0.0, 8)
    with pytest.raises(PixelarmError, match=r"algo.time_steps was settled when the skills were learned"):
        adapting(skills["sailor"], demos, 1, ["algo.time_steps=9"])


@pytest.mark.parametrize("method", METHODS)
def test_without_skills_it_learns_from_the_demonstrations_alone(data, tmp_path, method):
    task = f"task={read_episode(data / 'target' / 'episode_000000.hdf5').contract.task}"
    options = ["recipe.demos=1", "recipe.fit_updates=2", f"demos={data / 'target'}", f"run={tmp_path}", *TINY, *NETWORK]
    run_recipe(compose([f"experiment={method}", task, *options]))
    act, contract, _ = load_actor(tmp_path)
    low, high = np.array(contract.action.low), np.array(contract.action.high)
    found = act({entry.name: np.zeros(entry.size, np.float32) for entry in contract.proprio})
    assert np.all(found >= low) and np.all(found <= high)


@pytest.mark.slow
@pytest.mark.thorough
def test_two_processes_learn_skills_together(data, tmp_path):
    """Of SAILOR's weights those of the policy have no gradient yet; the processes do not wait for it."""
    command = [sys.executable, "-m", "robot.cli", "pretrain", "experiment=sailor", f"data={data}", "trainer.devices=2"]
    command += [f"run={tmp_path / 'run'}", "recipe.fit_updates=3", *TINY, *NETWORK]
    done = subprocess.run(command, timeout=300, capture_output=True)
    assert done.returncode == 0, done.stderr.decode()
    assert not tensors(tmp_path / "run")["adapted"]

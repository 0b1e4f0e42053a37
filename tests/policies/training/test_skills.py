"""``pixelarm pretrain`` and ``pixelarm adapt`` on a few kitchen demonstrations: from skills to an exported policy, and
what is refused: a held-out object that moves, target demonstrations among the skills' data, missing states, skills of
another contract.
"""

import dataclasses
import json
import re
import shutil
import signal
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from policies.evaluation.evaluate import load_actor
from policies.export.onnx import TOLERANCE, export
from policies.runs.checkpoint import read_json
from policies.skills.lookup import STORED
from policies.training import fit as fitting
from policies.training.skills import ADAPT_HELP, FREE, adapt, adapting, compose_for, pretrain, pretraining
from policies.training.train import compose, train
from robot.dataset.episodes import Episode, read_episode, write_episode
from robot.errors import ContractMismatch, DatasetError, PixelarmError
from sim.demonstrations import collect
from sim.envs.config import TaskConfig
from sim.envs.make import make_env, make_env_for
from sim.kitchen.folder import jobs_of, make_split
from sim.tasks.kitchen import Kitchen

TINY = ["recipe.batch_size=8", "trainer=cpu", "trainer.threads=1", "trainer.log_every=5"]
NETWORK = ["algo.hidden=8", "algo.layers=1", "algo.recurrent=8"]
TASK = "kitchen_microwave_kettle_slide_cabinet_hinge_cabinet"

pytestmark = pytest.mark.train


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    folder = tmp_path_factory.mktemp("split") / "no-kettle"
    assert len(list(make_split(jobs_of("no-kettle", folder, 2, 2, 3), "no-kettle", 1))) == 4
    return folder


def learn(data: Path, run: Path, *options: str) -> Path:
    assert pretrain([f"data={data}", f"run={run}", "recipe.fit_updates=5", *TINY, *NETWORK, *options]) == 0
    return run


@pytest.fixture(scope="module")
def skills(data, tmp_path_factory):
    return learn(data, tmp_path_factory.mktemp("skills") / "run")


@pytest.fixture(scope="module")
def adapted(skills, data, tmp_path_factory):
    run = tmp_path_factory.mktemp("adapted") / "run"
    words = [f"skills={skills}", f"demos={data / 'target'}", f"run={run}", "recipe.fit_updates=5", *TINY]
    assert adapt(words) == 0
    return run


def tensors(run: Path):
    return load_file(run / "policy" / "policy.safetensors")


def test_skills_say_what_they_were_learned_from(skills):
    about = json.loads((skills / "skills.json").read_text())
    assert about["episodes"] == 2 and about["held_out"] == "kettle"
    assert len(tensors(skills)["seen"]) == 0  # they remember no demonstration
    assert not list(skills.rglob("*.pkl")) + list(skills.rglob("*.pt")) + list(skills.rglob("*.ckpt"))


def test_skills_have_not_seen_the_target(skills, data, tmp_path):
    """Skills and distance are the same whatever lies in the split's target folder, to the bit."""
    alone = tmp_path / "no-kettle"
    shutil.copytree(data / "pretraining", alone / "pretraining")
    one, other = tensors(skills), tensors(learn(alone, tmp_path / "run"))
    assert one.keys() == other.keys() and all((one[name] == other[name]).all() for name in one)
    assert any(name.startswith("distance.") for name in one)


def test_skills_that_are_not_tuned_stay_as_they_are(skills, data, tmp_path):
    words = [f"skills={skills}", f"demos={data / 'target'}", f"run={tmp_path / 'run'}", "recipe.fit_updates=0", *TINY]
    adapt(words)
    before, after = tensors(skills), tensors(tmp_path / "run")
    looked_up = set(STORED)
    assert all((before[name] == after[name]).all() for name in before.keys() - looked_up - {"eyes.normalizer.std"})
    assert len(after["seen"]) == sum(len(read_episode(f)) + 1 for f in sorted((data / "target").glob("episode_*")))


def test_fine_tuning_keeps_the_scales_and_moves_the_weights(skills, adapted):
    before, after = tensors(skills), tensors(adapted)
    for name in ("eyes.normalizer.mean", "actions.mean", "actions.std"):
        assert (before[name] == after[name]).all()
    moved = before["eyes.normalizer.std"] > 0.0501
    assert (before["eyes.normalizer.std"] == after["eyes.normalizer.std"])[moved].all() and moved[:7].all()
    # the kettle's y, the second of its seven numbers: it stood still, and moves by some 35 cm now
    assert not moved[24] and after["eyes.normalizer.std"][24] > 0.1
    assert (before["skill.decoder.0.weight"] != after["skill.decoder.0.weight"]).any()
    config = read_json(adapted / "policy" / "policy.json")["config"]
    assert (config["algo"]["hidden"], config["algo"]["layers"]) == (8, 1)  # the skills', not asked for again


def test_an_adapted_policy_is_played_and_exported(adapted, tmp_path):
    act, contract, config = load_actor(adapted)
    assert contract.task == TASK and not contract.cameras
    out, difference = export(adapted, tmp_path / "bundle")
    assert difference < TOLERANCE
    exported, again, _ = load_actor(out)
    env = make_env_for(contract, config)
    seen, _ = env.reset(seed=1)
    assert again == contract and np.allclose(act(seen), exported(seen), atol=1e-3)
    env.close()


@pytest.fixture(scope="module")
def cloned(data, tmp_path_factory):
    """Skills of cloning."""
    run = tmp_path_factory.mktemp("cloned") / "run"
    options = ["experiment=chunk_bc_states", "recipe.fit_updates=3", *TINY, "algo.hidden=8"]
    pretrain([f"data={data}", f"run={run}", *options])
    return run


def test_any_fitted_policy_can_be_pretrained(cloned, data, tmp_path):
    words = [f"skills={cloned}", f"demos={data / 'target'}", f"run={tmp_path / 'run'}", "recipe.fit_updates=3", *TINY]
    adapt(words)
    before, after = tensors(cloned), tensors(tmp_path / "run")
    assert (before["eyes.normalizer.mean"] == after["eyes.normalizer.mean"]).all()
    assert (before["head.0.weight"] != after["head.0.weight"]).any()


def test_more_actions_of_a_chunk_can_be_carried_out_than_the_skills_had(cloned, data, tmp_path):
    words = [f"skills={cloned}", f"demos={data / 'target'}", f"run={tmp_path / 'run'}", "recipe.fit_updates=0", *TINY]
    adapt([*words, "algo.execute=2"])
    theirs, ours = (load_actor(run)[1] for run in (cloned, tmp_path / "run"))
    assert (theirs.chunk, theirs.execute) == (8, 1) and (ours.chunk, ours.execute) == (8, 2)


def filmed(episode: Episode, pixels: int) -> Episode:
    """The same episode with the kitchen's cameras, which show black pictures."""
    cameras = tuple(dataclasses.replace(c, height=pixels, width=pixels) for c in Kitchen().contract.cameras)
    black = {camera.name: np.zeros((len(episode) + 1, *camera.shape), np.uint8) for camera in cameras}
    contract = dataclasses.replace(episode.contract, cameras=cameras)
    return dataclasses.replace(episode, contract=contract, observations={**episode.observations, **black})


def test_states_are_learned_from_data_with_pictures_of_any_size(data, tmp_path):
    for role in ("pretraining", "target"):
        episode = read_episode(data / role / "episode_000000.hdf5")
        (tmp_path / role).mkdir()
        write_episode(tmp_path / role / "episode_000000.hdf5", filmed(episode, 32))
    run = learn(tmp_path, tmp_path / "skills")  # the recipe of FIST observes states
    assert not load_actor(run)[1].cameras
    demos = tmp_path / "target"
    adapt([f"skills={run}", f"demos={demos}", f"run={tmp_path / 'run'}", "recipe.fit_updates=0", *TINY])
    assert not load_actor(tmp_path / "run")[1].cameras


def test_skills_from_pictures_look_up_what_the_tuned_encoder_sees(data, tmp_path):
    """What the policy holds are the features of its own weights, not of those that fine-tuning began with."""
    for role in ("pretraining", "target"):
        (tmp_path / role).mkdir()
        rng = np.random.default_rng(0)
        for path in sorted((data / role).glob("episode_*")):
            episode = filmed(read_episode(path), 32)
            for camera in ("agentview", "eye_in_hand"):
                episode.observations[camera][:] = rng.integers(0, 255, episode.observations[camera].shape, np.uint8)
            write_episode(tmp_path / role / path.name, episode)
    options = ["experiment=fist_pixels", *NETWORK]
    pretrain([f"data={tmp_path}", f"run={tmp_path / 'skills'}", "recipe.fit_updates=2", *TINY, *options])
    words = [f"skills={tmp_path / 'skills'}", f"demos={tmp_path / 'target'}", f"run={tmp_path / 'run'}"]
    adapt([*words, "recipe.fit_updates=3", *TINY])
    act, contract, _ = load_actor(tmp_path / "run")
    assert [camera.height for camera in contract.cameras] == [32, 32]
    policy = act.policy
    demos = [read_episode(path) for path in sorted((tmp_path / "target").glob("episode_*"))]
    rows = policy.rows(demos)
    with torch.no_grad():
        assert torch.allclose(policy.seen[:20], policy.eyes(rows.observations(0, 20)), atol=1e-5)
    assert len(tensors(tmp_path / "skills")["seen"]) == 0 and len(policy.seen) == sum(len(demo) + 1 for demo in demos)


def test_pictures_are_of_the_size_that_was_recorded_unless_given():
    contract = Kitchen(image_size=32).contract
    assert compose_for(contract, ["experiment=chunk_bc"]).task.image_size == 32
    assert compose_for(contract, ["experiment=chunk_bc", "task.image_size=48"]).task.image_size == 48


def test_how_skills_are_used_is_theirs_unless_given(data, tmp_path):
    """The defaults are 0.02, 0.006, euclidean and 1e-3; how to minimise is the fine-tuning's own."""
    used = ["algo.nudge=0.03", "algo.haste=0", "algo.distance=learned", "algo.learning_rate=0.5"]
    used += ["algo.object_weight=1"]
    learn(data, tmp_path / "skills", *used)

    def algo(*options: str):
        return adapting(tmp_path / "skills", data / "target", 1, options).algo

    same = algo()
    assert (same.nudge, same.haste, same.distance, same.learning_rate) == (0.03, 0.0, "learned", 1e-3)
    other = algo("algo.nudge=0", "algo.haste=0.001", "algo.distance=euclidean", "algo.learning_rate=0.1")
    assert (other.nudge, other.haste, other.distance, other.learning_rate) == (0.0, 0.001, "euclidean", 0.1)
    assert same.hidden == other.hidden == 8


def test_actions_that_the_skills_carry_out_at_once_are_theirs_unless_given(data, tmp_path):
    options = ["experiment=chunk_bc_states", "recipe.fit_updates=1", *TINY, "algo.hidden=8", "algo.execute=4"]
    pretrain([f"data={data}", f"run={tmp_path / 'skills'}", *options])
    assert adapting(tmp_path / "skills", data / "target", 1, []).algo.execute == 4
    assert adapting(tmp_path / "skills", data / "target", 1, ["algo.execute=2"]).algo.execute == 2


def test_help_names_all_that_adapting_may_change():
    assert all(name in ADAPT_HELP for name in FREE)


def test_help_names_the_defaults_of_adapting(skills, data):
    cfg = adapting(skills, data / "target", 1, [])
    named = r"^ +(?:algo\S+ +of the fine-tuning: )?([\w.]+)(?:=N)?[^\n]*\(default: (\w\S*?)[,)]"
    said = dict(re.findall(named, ADAPT_HELP, re.MULTILINE))
    assert said["recipe.fit_updates"] == str(cfg.recipe.fit_updates) and said["seed"] == str(cfg.seed)
    assert float(said["learning_rate"]) == cfg.algo.learning_rate
    assert cfg.recipe.demos == 2 and said["recipe.demos"] == "10"  # there are two


def test_the_example_of_adapting_can_be_pasted():
    """Each command reads what the one before it writes by default."""
    lines = ADAPT_HELP.partition("policy:\n")[2].splitlines()
    make, learn, reuse, play = (line.split() for line in lines)
    assert make[:3] == ["pixelarm", "data", "make"] and f"data={make[-1]}" in learn
    assert f"skills=runs/skills-fist-{Path(make[-1]).name}-seed1" in reuse and f"demos={make[-1]}/target" in reuse
    assert f"run={play[2]}" in reuse


# ------------------------------------------------------------------------------------------------- interrupted
def test_what_is_interrupted_goes_on_where_it_stopped(skills, adapted, data, tmp_path, monkeypatch, capsys):
    """Ctrl-C after 3 of 5 updates, with checkpoints of every second: 3 are left, and the policy is the same."""
    run, steps, report = tmp_path / "run", [], fitting.Metrics.on_train_batch_end

    def interrupted(self, trainer, *others):
        report(self, trainer, *others)
        steps.append(trainer.global_step)
        if steps == [1, 2, 3]:
            raise KeyboardInterrupt

    monkeypatch.setattr(fitting.Metrics, "on_train_batch_end", interrupted)
    words = [f"skills={skills}", f"demos={data / 'target'}", f"run={run}", "recipe.fit_updates=5", *TINY]
    handler = signal.getsignal(signal.SIGINT)
    with pytest.raises(KeyboardInterrupt):
        adapt([*words, "trainer.checkpoint_every=2"])
    assert signal.getsignal(signal.SIGINT) is handler and not (run / "last").exists()
    assert "the same command with resume=true continues" in capsys.readouterr().err
    adapt([*words, "trainer.checkpoint_every=2", "resume=true"])
    assert steps == [1, 2, 3, 3, 4, 5]
    whole, pieces = tensors(adapted), tensors(run)
    assert all((whole[name] == pieces[name]).all() for name in whole)


# ---------------------------------------------------------------------------------------------------- refusals
def test_a_run_of_no_updates_is_neither_begun_anew_nor_made_another(skills, data, tmp_path):
    """It has no checkpoints, only a policy."""
    words = [f"skills={skills}", f"demos={data / 'target'}", f"run={tmp_path / 'run'}", "recipe.fit_updates=0", *TINY]
    adapt([*words, "algo.haste=0"])
    with pytest.raises(PixelarmError, match="holds a run already; add resume=true"):
        adapt([*words, "algo.haste=0"])
    with pytest.raises(PixelarmError, match=r"algo.haste: 0.0 then, 0.006 now"):
        adapt([*words, "resume=true"])
    adapt([*words, "algo.haste=0", "resume=true"])


def test_a_run_that_has_made_updates_is_not_replaced_by_the_skills_as_they_are(skills, adapted, data, tmp_path):
    run = shutil.copytree(adapted, tmp_path / "run")
    words = [f"skills={skills}", f"demos={data / 'target'}", f"run={run}", "recipe.fit_updates=0", "resume=true", *TINY]
    with pytest.raises(PixelarmError, match=r"has made 5 updates, and recipe.fit_updates=0 would .*run=OTHER/FOLDER"):
        adapt(words)
    before, after = tensors(adapted), tensors(run)
    assert all((before[name] == after[name]).all() for name in before)


def test_a_held_out_object_that_moves_is_found_and_named(data, tmp_path):
    spoilt = shutil.copytree(data, tmp_path / "spoilt")
    episode = read_episode(spoilt / "target" / "episode_000000.hdf5")
    episode.provenance["made"]["role"] = "pretraining"  # whatever it says of itself
    write_episode(spoilt / "pretraining" / "episode_000002.hdf5", episode)
    with pytest.raises(DatasetError, match=r"kettle is held out, and its object moves in 1 (.|\n)*episode_000002.hdf5"):
        pretrain([f"data={spoilt}", f"run={tmp_path / 'run'}", *TINY])
    with pytest.raises(DatasetError, match="hinge_cabinet is held out"):
        pretrain([f"data={data}", "held_out=hinge_cabinet", f"run={tmp_path / 'run'}", *TINY])


def test_target_demonstrations_are_no_pretraining_data(data, tmp_path):
    with pytest.raises(DatasetError, match="holds 2 target demonstrations"):
        pretrain([f"data={data / 'target'}", f"run={tmp_path / 'run'}", *TINY])


@pytest.mark.parametrize("option", ["recipe.look_up=true", "++recipe.look_up=false"])
def test_skills_look_nothing_up(data, tmp_path, option):
    with pytest.raises(PixelarmError, match=r"skills look no demonstrations up, so leave it out"):
        pretrain([f"data={data}", f"run={tmp_path / 'run'}", *TINY, option])


def test_demonstrations_without_states_are_refused(skills, data, tmp_path):
    path = data / "target" / "episode_000000.hdf5"
    write_episode(tmp_path / "episode_000000.hdf5", dataclasses.replace(read_episode(path), simulation={}))
    with pytest.raises(PixelarmError, match="episode_000000.hdf5 has no true states"):
        adapt([f"skills={skills}", f"demos={tmp_path}", f"run={tmp_path / 'run'}", *TINY])


def test_a_demonstration_shorter_than_a_skill_is_refused(skills, data, tmp_path):
    episode = read_episode(data / "target" / "episode_000000.hdf5")
    cut = dataclasses.replace(
        episode,
        observations={name: values[:8] for name, values in episode.observations.items()},
        actions=episode.actions[:7], rewards=episode.rewards[:7], terminated=episode.terminated[:7],
        stamps=episode.stamps[:8], simulation={"qpos": episode.simulation["qpos"][:8]},
    )  # fmt: skip
    write_episode(tmp_path / "episode_000000.hdf5", cut)
    with pytest.raises(DatasetError, match="episode 0 of the demonstrations has 7 actions, .*algo.horizon=10"):
        adapt([f"skills={skills}", f"demos={tmp_path}", f"run={tmp_path / 'run'}", *TINY])


def test_skills_of_another_contract_are_refused(skills, data, tmp_path):
    other = shutil.copytree(skills, tmp_path / "other")
    about = json.loads((other / "policy" / "policy.json").read_text())
    about["contract"]["action"]["high"][0] = 1.0
    (other / "policy" / "policy.json").write_text(json.dumps(about))
    with pytest.raises(ContractMismatch, match=r"action.high(.|\n)*pretrain others"):
        adapt([f"skills={other}", f"demos={data / 'target'}", f"run={tmp_path / 'run'}", *TINY])


@pytest.mark.parametrize(
    ("option", "words"),
    [
        ("algo.horizon=5", "algo.horizon was settled when the skills were learned"),
        ("skills=nowhere", "nowhere holds no skills"),
        ("seed=one", "seed must be a whole number, at least 0, got 'one'"),
        ("--fast", "options are OPTION=VALUE, got '--fast'"),
    ],
)
def test_options_that_do_not_fit_are_refused(skills, data, tmp_path, option, words):
    with pytest.raises(PixelarmError, match=words):
        adapt([f"skills={skills}", f"demos={data / 'target'}", f"run={tmp_path / 'run'}", option])


@pytest.fixture(scope="module")
def tables(tmp_path_factory):
    """Two demonstrations of Reach, one of Lift, and one of Switch to be learned, 32 pixels wide."""
    folder = tmp_path_factory.mktemp("tables")
    for where, task, episodes in (("skills/reach", "reach", 2), ("skills/lift", "lift", 1), ("switch", "switch", 1)):
        env = make_env(TaskConfig(task, 32))
        collect(env, folder / where, episodes, seed=1)
        env.close()
    return folder


def test_skills_of_several_tasks_are_reused_for_another(tables, tmp_path):
    options = ["experiment=fist_pixels", "recipe.fit_updates=2", *TINY, *NETWORK]
    run, policy = tmp_path / "skills", tmp_path / "run"
    assert pretrain([f"data={tables / 'skills'}", f"run={run}", "held_out=switch", *options]) == 0
    about = json.loads((run / "skills.json").read_text())
    assert about["episodes"] == 3 and about["held_out"] == "switch"
    assert adapt([f"skills={run}", f"demos={tables / 'switch'}", f"run={policy}", "recipe.fit_updates=2", *TINY]) == 0
    act, contract, _ = load_actor(policy)
    assert contract.task == "switch" and len(act.policy.seen) > 0


def test_skills_of_several_tasks_are_not_judged_by_the_first_of_them(tables):
    assert pretraining(tables / "skills", "chunk_bc", 1, []).trainer.eval_episodes == 0
    assert pretraining(tables / "skills/lift", "chunk_bc", 1, []).trainer.eval_episodes > 0


def test_a_held_out_task_among_those_of_the_skills_is_refused(tables, tmp_path):
    with pytest.raises(DatasetError, match=r"lift is held out, and .* holds 1 demonstrations of it \(.*lift.episode_0"):
        pretrain([f"data={tables / 'skills'}", f"run={tmp_path}", "held_out=lift", "experiment=fist_pixels"])


def test_a_policy_does_not_learn_from_demonstrations_of_several_tasks(tables, tmp_path):
    words = ["experiment=chunk_bc", "task=lift", "task.image_size=32", f"demos={tables / 'skills'}"]
    with pytest.raises(PixelarmError, match="is not a dataset"):
        train(compose([*words, f"run={tmp_path / 'run'}", "recipe.demos=1", *TINY]))

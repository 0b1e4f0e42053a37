"""The whole command on tiny runs: what it writes, what it leaves alone, what it refuses."""

import re
import shutil
from contextlib import redirect_stdout
from io import StringIO

import numpy as np
import pytest
import yaml
from conftest_policies import tiny_contract

from policies.diagnose import command, examine
from policies.diagnose.command import main
from policies.diagnose.subject import subject_of
from policies.runs.checkpoint import read_json
from policies.training.train import compose, train
from robot.errors import PixelarmError
from sim.demonstrations import collect
from sim.envs.make import make

TINY = [
    "recipe.demos=2", "task.image_size=32", "recipe.batch_size=8", "trainer.accelerator=cpu", "trainer.threads=1",
    "trainer.eval_episodes=1", "trainer.log_every=10",
]  # fmt: skip
OVERRIDES = [
    *TINY, "recipe.pretrain_updates=3", "recipe.clone_updates=5", "recipe.steps=64", "recipe.critic_warmup=40",
    "recipe.learning_starts=20", "trainer.eval_every=32", "trainer.checkpoint_every=32",
    "algo.actor.gaussian.hidden=32", "algo.critic.mlp.hidden=32",
]  # fmt: skip


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "demos"
    env = make("lift", image_size=32)
    collect(env, folder, episodes=2, seed=1)
    env.close()
    return folder


@pytest.fixture(scope="module")
def run(demos, tmp_path_factory):
    folder = tmp_path_factory.mktemp("runs") / "lift"
    return train(compose(["experiment=ferm_plus", "task=lift", *OVERRIDES, f"demos={demos}", f"run={folder}"]))


@pytest.fixture(autouse=True)
def few_expert_episodes(monkeypatch):
    monkeypatch.setattr(examine, "EXPERT_EPISODES", 2)


@pytest.fixture(scope="module")
def diagnosed(run):
    """The run's files before it was diagnosed, the diagnosis, what was printed, and what was measured."""
    before, measured = files(run), []
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()) as said:
        patch.setattr(examine, "EXPERT_EPISODES", 12)  # sight is judged from ten on
        patch.setattr(command, "examine", lambda *args: measured.append(examine.examine(*args)) or measured[0])
        found = diagnose(run)
    return before, found, said.getvalue(), measured[0]


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def diagnose(run, *args):
    assert main([str(run), "--episodes", "2", *map(str, args)]) == 0
    return read_json((run / "diagnosis" if "--out" not in args else args[-1]) / "diagnosis.json")


@pytest.mark.train
def test_a_run_is_diagnosed_and_left_as_it_was(run, diagnosed):
    before, found, said, _ = diagnosed
    after = {path: data for path, data in files(run).items() if "diagnosis" not in path.parts}
    assert after == before
    assert found["format"] == "pixelarm-diagnosis/1" and found["task"] == "lift"
    assert found["values"][-1]["successes"] == 0  # after 64 steps, so that nothing can be said of successes
    assert [note.partition(":")[0] for note in found["notes"]] == [
        "none of 2 episodes of the newest networks succeeded"
    ]
    assert [one["step"] for one in found["values"]] == [4, 8, 16, 32, 64]
    assert all(one["episodes"] == 2 for one in found["values"])
    assert sum(found["census"].values()) == 2 == len(found["episodes"])
    assert {one["name"] for one in found["sight"]} == {"manipuland", "hand", "aim at the manipuland"}
    assert [one["name"] for one in found["noise"]] == ["dx", "dy", "dz", "gripper"]
    assert {"cloning_loss", "train_success_early", "validation_last"} <= set(found["log"])
    sections = {one["section"] for one in found["findings"]}
    assert {"census", "log", "sight", "noise"} <= sections
    assert all(one["sentence"] in said for one in found["findings"] if not one["ok"])


@pytest.mark.train
def test_the_page_holds_everything_in_one_file(run, diagnosed):
    page = (run / "diagnosis" / "index.html").read_text()
    assert {path.name for path in (run / "diagnosis").iterdir()} == {"index.html", "diagnosis.json"}
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    titles = re.findall(r"<h2>([^<]*)</h2>", page)
    assert titles == [
        "Findings", "Census of failures", "Values", "Sight", "Learning", "Exploration", "Everything measured",
    ]  # fmt: skip
    failed = sum(one["class"] != "success" for one in read_json(run / "diagnosis" / "diagnosis.json")["episodes"])
    assert page.count("<figcaption>scene 1000") == failed > 0


@pytest.mark.train
def test_only_its_own_folder_is_replaced(run, diagnosed, tmp_path, monkeypatch):
    monkeypatch.setattr(command, "examine", lambda *_: diagnosed[-1])
    out = tmp_path / "out"
    out.mkdir()
    diagnose(run, "--out", out)  # an empty one will do
    (out / "index.html").write_text("old")
    diagnose(run, "--out", out)
    assert (out / "index.html").read_text() != "old"
    (out / "diagnosis.json").unlink()
    with pytest.raises(PixelarmError, match="holds something else than a diagnosis"):
        main([str(run), "--out", str(out)])
    with pytest.raises(PixelarmError, match="is a file, and a folder is to be written"):
        main([str(run), "--out", str(out / "index.html")])


@pytest.mark.train
def test_a_run_from_before_snapshots_is_looked_at_by_its_newest_checkpoint(run, tmp_path):
    older = shutil.copytree(run, tmp_path / "older", ignore=shutil.ignore_patterns("snapshots", "policy", "diagnosis"))
    found = diagnose(older)
    assert [one["step"] for one in found["values"]] == [64]
    assert "earlier ones are missing" in " ".join(found["notes"])
    assert found["policy"] == "the newest one, of step 64: none has been validated yet"
    shutil.rmtree(older / "checkpoints")
    with pytest.raises(PixelarmError, match="has saved neither a policy nor a checkpoint yet"):
        main([str(older)])


@pytest.mark.train
def test_a_policy_that_is_fitted_has_no_critics_and_the_rest_is_said(demos, tmp_path):
    import toy_policy  # noqa: F401  (it registers itself)

    options = ["experiment=blank", "task=lift", "algo=toy", "recipe.fit_updates=20", *TINY]
    run = train(compose([*options, f"demos={demos}", f"run={tmp_path / 'run'}"]))
    found = diagnose(run)
    words = " ".join(found["notes"])
    assert "policies of the family toy are fitted to demonstrations" in words
    assert "Toy has no encoder that is known here" in words and "no training lines" not in words
    assert found["values"] == found["sight"] == found["noise"] == [] and sum(found["census"].values()) == 2


@pytest.mark.train
def test_what_cannot_be_diagnosed_is_refused_in_words(run, tmp_path):
    with pytest.raises(PixelarmError, match="nowhere does not exist; give a run folder"):
        main([str(tmp_path / "nowhere")])
    with pytest.raises(PixelarmError, match="is no run of `pixelarm train`; a diagnosis needs a whole run folder"):
        main([str(tmp_path)])
    with pytest.raises(PixelarmError, match="is one policy of a run; a diagnosis needs"):
        main([str(run / "policy")])
    with pytest.raises(PixelarmError, match="--episodes must be at least 1, got 0"):
        main([str(run), "--episodes", "0"])
    begun = tmp_path / "begun"
    begun.mkdir()
    shutil.copy(run / "config.yaml", begun)
    with pytest.raises(PixelarmError, match="has saved no policy yet"):
        main([str(begun)])


@pytest.mark.train
def test_deepmind_control_is_refused_in_words(run, tmp_path):
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["task"]["name"] = "dmc/cheetah-run"
    (tmp_path / "config.yaml").write_text(yaml.safe_dump(config))
    with pytest.raises(PixelarmError, match="have a return and neither a success nor an object to follow"):
        main([str(tmp_path)])
    assert not (tmp_path / "diagnosis").exists()


@pytest.mark.train
def test_episodes_are_those_of_an_evaluation_but_last_as_long_as_training_asked(run, tmp_path):
    """The full time limit and no randomisation; the run's own ``hold_steps``."""
    copied = shutil.copytree(run, tmp_path / "run")
    config = yaml.safe_load((copied / "config.yaml").read_text())
    config["task"] |= {"hold_steps": 4, "time_limit": 20, "randomise": ["mass"]}
    (copied / "config.yaml").write_text(yaml.safe_dump(config))
    env = subject_of(copied).make_env()
    assert (env.hold_steps, env.time_limit, env.recording["randomise"]) == (4, 60, [])
    env.close()


def test_a_policy_of_chunks_is_watched_as_it_is_evaluated():
    """Two actions of each answer; the n-th answer's are 10 n and on."""
    answers = iter(range(1, 9))

    class Chunks:
        contract = tiny_contract().for_policy(chunk=3, execute=2)

        def act(self, seen, sample):
            return np.tile(10 * next(answers) + np.arange(3)[None, :, None], (1, 1, 4))

    act = examine._acts(Chunks())
    assert [int(act({})[0]) for _ in range(5)] == [10, 11, 20, 21, 30]

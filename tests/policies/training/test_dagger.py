"""`pixelarm dagger`: rounds of corrections by a scripted person, what of them is cloned, and going on."""

import shutil

import numpy as np
import pytest

from policies.data.replay import examples
from policies.runs.checkpoint import read_json
from policies.training import dagger
from policies.training.dagger import main, table
from robot.dataset.episodes import read_dataset
from robot.errors import PixelarmError
from sim.demonstrations import collect
from sim.envs.make import make

OPTIONS = [
    "experiment=chunk_bc", "task=reach", "recipe.demos=2", "recipe.fit_updates=2", "recipe.batch_size=4",
    "trainer.eval_episodes=0", "trainer.accelerator=cpu", "trainer.threads=1", "task.image_size=32",
    "algo.mirror=false", "scenes=2", "episodes=2", "rounds=1",
]  # fmt: skip


@pytest.fixture(scope="module")
def demos(tmp_path_factory):
    folder = tmp_path_factory.mktemp("data") / "demos"
    env = make("reach", image_size=32)
    collect(env, folder, episodes=2, seed=1)
    env.close()
    return folder


def play(demos, run, *more):
    assert main([*OPTIONS, f"demos={demos}", f"run={run}", *more]) == 0
    return read_json(run / "dagger.json")["rounds"]


@pytest.mark.train
def test_a_round_adds_what_the_person_did_and_goes_on(demos, tmp_path, monkeypatch):
    """A clone of two updates gets nowhere: the person takes over in both scenes, and only its steps are cloned."""
    run = tmp_path / "d"
    first, second = play(demos, run)
    given = read_dataset(demos)
    assert first["take_overs"] == 0 and first["examples"] == sum(len(e) for e in given)
    data = read_dataset(run / "data")
    corrected = data[2:]
    assert len(corrected) == second["take_overs"] == 2
    for episode in corrected:
        ((since, last),) = episode.provenance["interventions"]
        assert episode.source.tolist() == [1] * since + [0] * (last + 1 - since)
        assert 0 < since <= last == len(episode) - 1 and episode.success
        assert np.flatnonzero(examples(episode)).tolist() == list(range(since, last + 1))
    mine = sum(examples(e).sum() for e in corrected)
    assert second["examples"] == first["examples"] + mine
    assert second["person_minutes"] == pytest.approx(mine / 600, abs=1e-3)  # at 10 Hz
    assert second["robot_minutes"] == pytest.approx(sum(len(e) for e in corrected) / 600, abs=1e-3)
    assert len(read_dataset(demos)) == 2  # as it was

    monkeypatch.setattr(dagger, "train", lambda cfg: pytest.fail("everything is there"))
    assert play(demos, run) == [first, second]
    with pytest.raises(PixelarmError, match="was begun with .*: give the same, or another run="):
        play(demos, run, "episodes=3")
    with pytest.raises(PixelarmError, match="was begun with .*'seed': 1"):
        play(demos, run, "seed=2")


@pytest.mark.train
def test_an_interrupted_round_is_played_again(demos, tmp_path, monkeypatch):
    """Killed while the next clone is fitted: its corrections are there, and are not added twice."""
    run, train = tmp_path / "d", dagger.train

    def killed(cfg):
        if cfg.run.endswith("round-1"):
            raise KeyboardInterrupt
        return train(cfg)

    monkeypatch.setattr(dagger, "train", killed)
    with pytest.raises(KeyboardInterrupt):
        play(demos, run)
    assert len(read_dataset(run / "data")) == 4 and len(read_json(run / "dagger.json")["rounds"]) == 1
    monkeypatch.setattr(dagger, "train", train)
    _, second = play(demos, run)
    assert second["take_overs"] == 2 and len(read_dataset(run / "data")) == 4
    assert (run / "dagger.png").stat().st_size > 1000


def test_a_folder_of_somebody_elses_is_left_as_it_is(demos, tmp_path):
    """Demonstrations that lie where this command keeps its own."""
    shutil.copytree(demos, tmp_path / "data")
    with pytest.raises(PixelarmError, match="is not of `pixelarm dagger`: choose another run="):
        main([*OPTIONS, f"demos={tmp_path / 'data'}", f"run={tmp_path}"])
    assert len(read_dataset(tmp_path / "data")) == 2


@pytest.mark.parametrize(
    ("more", "words"),
    [
        (["experiment=ferm_plus"], "experiment=ferm_plus learns by itself after cloning: experiment=hil corrects"),
        (["recipe.demos=3"], "recipe.demos=3 demonstrations are wanted, and .* holds 2"),
        (["rounds=many"], "rounds must be a whole number, at least 0, got 'many'"),
        (["take_over_after=0"], "take_over_after must be a number above 0, got '0'"),
    ],
)
def test_what_cannot_be_corrected_is_refused(demos, tmp_path, more, words):
    kept = [option for option in OPTIONS if not any(option.startswith(m.partition("=")[0] + "=") for m in more)]
    kept = [o for o in kept if not (more == ["experiment=ferm_plus"] and o.startswith(("algo.", "recipe.fit")))]
    with pytest.raises(PixelarmError, match=words):
        main([*kept, *more, f"demos={demos}", f"run={tmp_path / 'd'}"])


def test_the_table_of_rounds():
    found = {"success": 0.5, "n": 4, "low": 0.15, "high": 0.85}
    row = {"round": 1, "examples": 90, "take_overs": 3, "person_minutes": 0.26, "robot_minutes": 1.0}
    assert table([row | {"success": found, "at_end": found}]).splitlines()[2] == (
        "| 1 | 0.50 [0.15, 0.85] of 4 | 0.50 [0.15, 0.85] of 4 | 3 | 0.3 | 1.0 | 90 |"
    )

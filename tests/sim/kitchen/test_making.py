"""Making data: reproducible with any number of workers, clean labels, splits that are what they say."""

import dataclasses
import signal

import numpy as np
import pytest

from robot.dataset.episodes import episode_files, read_episode, read_headers, write_episode
from robot.errors import DatasetError, PixelarmError, UnknownName
from sim.kitchen import making
from sim.kitchen.folder import jobs_of, make_split, missing
from sim.kitchen.making import FIRST_SEED, MADE, VERSION, Job
from sim.kitchen.recording import NEAR_NOISE, NOISE
from sim.kitchen.splits import SPLITS, split_named
from sim.kitchen.workers import work
from sim.tasks import make_task
from sim.tasks.kitchen import SUBTASKS
from tests.sim.kitchen.conftest import SEED, SPLIT


def job(folder, split=SPLIT, role="pretraining", seed=SEED, index=0):
    return Job(split, role, seed, index, folder / f"episode_{index:06d}.hdf5")


# ---------------------------------------------------------------------------------------------------------- the splits
def test_the_splits_are_fists():
    assert {name: (split.held_out, split.target) for name, split in SPLITS.items() if split.held_out} == {
        "no-microwave": ("microwave", ("microwave", "bottom_burner", "light_switch", "slide_cabinet")),
        "no-kettle": ("kettle", ("microwave", "kettle", "slide_cabinet", "hinge_cabinet")),
        "no-top-burner": ("top_burner", ("microwave", "kettle", "top_burner", "light_switch")),
        "no-slide": ("slide_cabinet", ("microwave", "kettle", "slide_cabinet", "hinge_cabinet")),
    }
    with pytest.raises(UnknownName, match="unknown kitchen split 'no-fridge'; .*mixed.*no-kettle.*play"):
        split_named("no-fridge")


@pytest.mark.parametrize("name", SPLITS)
def test_a_demonstration_has_four_of_the_subtasks_that_are_not_held_out(name):
    split, seen = SPLITS[name], set()
    for seed in range(60):
        order = split.order(np.random.default_rng(seed))
        assert len(set(order)) == 4 and split.held_out not in order
        assert "hinge_cabinet" not in order[:-1]
        seen |= set(order)
    assert seen == set(SUBTASKS) - {split.held_out}
    assert make_task(split.task().name).contract == split.task().contract  # one that can be trained and evaluated


# ------------------------------------------------------------------------------------------------------- reproducible
def test_any_number_of_workers_makes_the_same_files(made, tmp_path):
    list(make_split(jobs_of(SPLIT, tmp_path, 2, 1, SEED), SPLIT, 2))
    for role, count in (("pretraining", 2), ("target", 1)):
        mine, theirs = episode_files(tmp_path / role), episode_files(made / role)
        assert [path.read_bytes() for path in mine] == [path.read_bytes() for path in theirs] and len(mine) == count


def test_seed_index_role_and_split_each_make_another_episode(maker, made, tmp_path):
    first = read_episode(made / "pretraining" / "episode_000000.hdf5")
    again = maker.make(job(tmp_path))
    assert np.array_equal(first.simulation["qpos"], again.simulation["qpos"])
    assert np.array_equal(first.actions, again.actions) and again.provenance == first.provenance
    seeds = {header.provenance["seed"] for role in ("pretraining", "target") for header in read_headers(made / role)}
    seeds |= {maker.make(job(tmp_path, **other)).provenance["seed"] for other in ({"seed": 4}, {"split": "no-slide"})}
    assert len(seeds) == 5 and min(seeds) >= FIRST_SEED  # evaluation's scenes, from 10,000 on, are others


def test_an_interrupted_folder_is_gone_on_with(folder):
    gone = folder / "pretraining" / "episode_000001.hdf5"
    whole, kept = gone.read_bytes(), (folder / "pretraining" / "episode_000000.hdf5").stat().st_mtime_ns
    gone.unlink()
    jobs = jobs_of(SPLIT, folder, 2, 1, SEED)
    assert [each.path for each in missing(jobs, SPLIT)] == [gone]
    assert len(list(make_split(jobs, SPLIT, 1))) == 1
    assert gone.read_bytes() == whole
    assert (folder / "pretraining" / "episode_000000.hdf5").stat().st_mtime_ns == kept
    assert list(make_split(jobs, SPLIT, 1)) == []


# ------------------------------------------------------------------------------------------------------- what is kept
def test_labels_are_clean_and_what_was_executed_leads_to_the_states(made, maker):
    episode = read_episode(made / "target" / "episode_000000.hdf5")
    executed, contract = episode.simulation["executed"], episode.contract
    noise = (executed - episode.actions)[:, :7]
    free = np.abs(episode.actions[:, :7]).max(axis=1) < 1.5  # not clipped
    assert NEAR_NOISE < noise[free].std() < NOISE and (executed[:, 7] == episode.actions[:, 7]).all()
    assert (np.abs(executed[:, :7]) <= contract.action.high[0]).all()
    maker.env.reset(seed=episode.provenance["seed"])
    for t, action in enumerate(executed):
        observation, *_ = maker.env.step(action)
        assert np.array_equal(maker.env.world.data.qpos, episode.simulation["qpos"][t + 1])
    assert np.array_equal(observation["joint_pos"], episode.observations["joint_pos"][-1])


def test_an_episode_says_what_it_is(made):
    contract = dataclasses.replace(SPLITS[SPLIT].task().contract, cameras=())
    for role in ("pretraining", "target"):
        for index, path in enumerate(episode_files(made / role)):
            episode = read_episode(path)
            about = episode.provenance
            assert episode.contract == contract and episode.success and len(episode) <= 450
            assert about[MADE] == {"split": SPLIT, "role": role, "seed": SEED, "index": index, "version": VERSION}
            kept = {
                "actuation_delay_ms",
                "observation_delay_ms",
                "randomise",
                "hold_steps",
                "executed_noise",
                "cameras",
            }
            assert set(about["recording"]) == kept
            doing = [about["subtasks"][i] for i in np.unique(episode.simulation["subtask"]) if i >= 0]
            assert sorted(doing) == sorted(about["subtasks"]) and ("kettle" in doing) == (role == "target")
    assert about["subtasks"] == list(SPLITS[SPLIT].target)
    assert path.stat().st_size < 600 * len(episode)  # bytes a step


def test_play_has_no_boundaries(maker, tmp_path):
    episode = maker.make(job(tmp_path, split="play"))
    assert len(episode) == making.PLAY_STEPS and not episode.success
    assert not episode.rewards.any() and not episode.terminated.any()
    assert set(episode.simulation) == {"qpos", "qvel", "executed"} and "subtasks" not in episode.provenance
    assert episode.stamps[:2].tolist() == [0, 80_000_000]
    write_episode(tmp_path / "episode_000000.hdf5", episode)  # which checks it
    assert list(jobs_of("play", tmp_path, 5, 10, 1)) == ["pretraining"]


def test_an_attempt_that_stirs_what_is_held_out_is_made_again(maker, made, tmp_path):
    split, episode = SPLITS[SPLIT], read_episode(made / "pretraining" / "episode_000000.hdf5")
    assert maker._fits(split, job(tmp_path), episode)
    episode.simulation["qpos"][100:, 24] += 0.05  # the kettle, by 5 cm of its 40
    assert not maker._fits(split, job(tmp_path), episode)
    assert maker._fits(split, job(tmp_path, role="target"), episode)
    episode.success = False
    assert not maker._fits(split, job(tmp_path, role="target"), episode)


def test_an_expert_that_always_fails_is_said(maker, tmp_path, monkeypatch):
    monkeypatch.setattr(making, "LONGEST", 3)
    with pytest.raises(PixelarmError, match="failed 20 times at episode 7 of no-kettle, pretraining"):
        maker.make(job(tmp_path, index=7))


# ---------------------------------------------------------------------------------------------------------- refusals
@pytest.mark.parametrize(
    ("options", "words"),
    [
        ((SPLIT, 2, 1, SEED + 1), "episode_000000.hdf5 .*seed: 3 there, 4 here"),
        (("mixed", 2, 1, SEED), "split: 'no-kettle' there, 'mixed' here"),
    ],
)
def test_data_made_in_another_way_are_refused_and_left_alone(folder, options, words):
    split, episodes, targets, seed = options
    before = {path: path.read_bytes() for path in folder.rglob("episode_*")}
    with pytest.raises(DatasetError, match=words):
        list(make_split(jobs_of(split, folder, episodes, targets, seed), split, 1))
    assert {path: path.read_bytes() for path in folder.rglob("episode_*")} == before


def test_a_held_out_object_that_occurs_is_found_by_its_true_state_and_named(folder):
    """A target demonstration among the pretraining data, whose file says that it belongs there."""
    stray = read_episode(folder / "target" / "episode_000000.hdf5")
    stray.provenance[MADE] = {"split": SPLIT, "role": "pretraining", "seed": SEED, "index": 3, "version": VERSION}
    stray.provenance["subtasks"] = ["microwave"]
    write_episode(folder / "pretraining" / "episode_000003.hdf5", stray)
    before = {path: path.read_bytes() for path in folder.rglob("episode_*")}
    words = r"kettle is held out, and its object moves in 1 episodes(.|\n)*episode_000003.hdf5: .*from step \d+, \d+%"
    with pytest.raises(DatasetError, match=words):
        list(make_split(jobs_of(SPLIT, folder, 9, 2, SEED), SPLIT, 1))
    assert {path: path.read_bytes() for path in folder.rglob("episode_*")} == before


# ----------------------------------------------------------------------------------------------------------- workers
class Double:
    def __call__(self, number):
        if number < 0:
            raise PixelarmError(f"{number} is negative")
        if number == 0:
            signal.raise_signal(signal.SIGKILL)
        return 2 * number


@pytest.mark.parametrize("workers", [1, 2, 5])
def test_work_is_done_once_by_any_number_of_workers(workers):
    assert sorted(work(Double, [3, 1, 2], workers)) == [2, 4, 6]
    assert list(work(Double, [], workers)) == []


def test_what_a_worker_cannot_do_is_said():
    with pytest.raises(PixelarmError, match="^-1 is negative$"):
        list(work(Double, [1, -1, 2], 2))
    with pytest.raises(PixelarmError, match="a worker process was killed by SIGKILL.*repeat to go on"):
        list(work(Double, [1, 0], 2))

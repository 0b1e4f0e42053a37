"""``pixelarm data`` as it is typed."""

import pytest

pytest.importorskip("mujoco")

from robot import cli
from robot.dataset.episodes import episode_files, read_dataset, read_episode, write_episode
from robot.errors import DatasetError, PixelarmError, UnknownName
from sim.commands import data
from sim.kitchen import folder as split_folder
from sim.kitchen import making
from sim.kitchen.making import MADE
from sim.kitchen.splits import SPLITS
from sim.tasks.kitchen import Kitchen


@pytest.fixture
def brief(monkeypatch):
    """Play of 12 steps: as good as any to have a folder quickly."""
    monkeypatch.setattr(making, "PLAY_STEPS", 12)
    monkeypatch.setattr(making, "PLAY_LEAD", 0)


def make(folder, *options):
    return data.main(["make", "kitchen", "--split", "play", "--workers", "1", "--out", str(folder), *options])


def test_make_goes_on_where_it_was_and_says_what_is_there(brief, tmp_path, capsys):
    assert make(tmp_path, "--episodes", "2") == 0
    assert "2 new episodes, 24 steps, 0 were there already" in capsys.readouterr().out
    first = (tmp_path / "pretraining" / "episode_000000.hdf5").read_bytes()
    assert make(tmp_path, "--episodes", "3") == 0
    said = capsys.readouterr().out
    assert "1 new episodes, 12 steps, 2 were there already" in said and "pretraining: 3 episodes, 0." in said
    assert (tmp_path / "pretraining" / "episode_000000.hdf5").read_bytes() == first
    assert make(tmp_path, "--episodes", "1") == 0  # what is there beyond that stays
    assert len(read_dataset(tmp_path / "pretraining")) == 3


@pytest.mark.gl
def test_render_draws_a_dataset_and_goes_on(brief, tmp_path, capsys):
    states, drawn = tmp_path / "states", tmp_path / "drawn"
    make(states, "--episodes", "2")
    options = ["--size", "32", "--workers", "1", "--out", str(drawn)]
    assert data.main(["render", str(states), *options]) == 0
    assert "pretraining: 2 episodes" in (said := capsys.readouterr().out) and "agentview, eye_in_hand" in said
    episodes = read_dataset(drawn / "pretraining", Kitchen(image_size=32).contract)  # what training expects
    assert episodes[0].observations["agentview"].shape == (13, 32, 32, 3)
    (drawn / "pretraining" / "episode_000001.hdf5").unlink()
    kept = (drawn / "pretraining" / "episode_000000.hdf5").stat().st_mtime_ns
    assert data.main(["render", str(states), *options]) == 0
    assert len(episode_files(drawn / "pretraining")) == 2
    assert (drawn / "pretraining" / "episode_000000.hdf5").stat().st_mtime_ns == kept
    with pytest.raises(DatasetError, match="look: 'textured' here, 'plain' there"):
        data.main(["render", str(states), *options, "--look", "textured"])


def test_check_counts_what_moves_and_refuses_a_held_out_object_that_does(brief, tmp_path, capsys):
    make(tmp_path, "--episodes", "2")
    assert data.main(["check", str(tmp_path)]) == 0
    said = capsys.readouterr().out
    assert "kettle         moves in    0 of 2" in said and "nothing is held out" in said
    assert data.main(["check", str(tmp_path / "pretraining"), "--held-out", "kettle"]) == 0
    assert "the object of kettle, which is held out, never moves" in capsys.readouterr().out
    episode = read_episode(tmp_path / "pretraining" / "episode_000000.hdf5")
    episode.simulation["qpos"][5:, 24] += 0.2  # half of the kettle's way
    episode.provenance[MADE]["index"] = 2
    write_episode(tmp_path / "pretraining" / "episode_000002.hdf5", episode)
    with pytest.raises(DatasetError, match="kettle is held out(.|\n)*episode_000002.hdf5: .* from step 5, 50% of its"):
        data.main(["check", str(tmp_path), "--held-out", "kettle"])
    assert "kettle         moves in    1 of 3, furthest 50% of its way" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "kind", "words"),
    [
        (["make", "kitchen", "--split", "no-fridge"], UnknownName, "unknown kitchen split 'no-fridge'"),
        (["make", "kitchen", "--episodes", "0"], PixelarmError, "--episodes must be at least 1, got 0"),
        (["make", "kitchen", "--workers", "0"], PixelarmError, "--workers must be at least 1, got 0"),
        (["make", "kitchen", "--seed", "-1"], PixelarmError, "--seed must be at least 0, got -1"),
        (["make", "kitchen", "--split", "no-kettle", "--targets", "0"], PixelarmError, "--targets must be at least 1"),
        (["make", "kitchen", "--split", "play", "--targets", "3"], PixelarmError, "play has no target demonstrations"),
        (["render", "HERE"], DatasetError, "holds neither episodes nor a folder pretraining or target"),
        (["render", "HERE", "--size", "0"], PixelarmError, "--size must be 1 to 2048 pixels, got 0"),
        (["render", "HERE", "--workers", "0"], PixelarmError, "--workers must be at least 1"),
    ],
)
def test_what_cannot_be_is_refused_before_anything_is_played(options, kind, words, tmp_path, monkeypatch):
    monkeypatch.setattr(split_folder, "work", lambda *_: pytest.fail("played"))
    options = [str(tmp_path) if option == "HERE" else option for option in options]
    with pytest.raises(kind, match=words):
        data.main([*options, "--out", str(tmp_path / "out")])
    assert not list(tmp_path.rglob("episode_*"))


def test_states_are_not_drawn_over_themselves(tmp_path):
    with pytest.raises(PixelarmError, match="--out must be another folder"):
        data.main(["render", str(tmp_path), "--out", str(tmp_path)])


@pytest.mark.parametrize("verb", ["make", "check", "render"])
def test_each_verb_explains_itself(verb, capsys):
    with pytest.raises(SystemExit):
        cli.main(["data", verb, "--help"])
    said = capsys.readouterr().out
    assert f"usage: pixelarm data {verb}" in said and "example:" in said
    if verb == "make":
        assert all(name in said for name in SPLITS)

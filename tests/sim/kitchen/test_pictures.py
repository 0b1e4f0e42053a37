"""Pictures of stored states: what a camera would have recorded, by any camera, at any size."""

import numpy as np
import pytest

from robot.dataset import recording
from robot.dataset.episodes import read_episode, read_headers, write_episode
from robot.errors import DatasetError, UnknownName
from sim.envs.make import make
from sim.kitchen.pictures import Drawing, Painter, undrawn
from sim.kitchen.splits import SPLITS
from tests.sim.kitchen.conftest import SPLIT

pytestmark = pytest.mark.gl
TASK = SPLITS[SPLIT].task().name


@pytest.fixture(scope="module")
def painter():
    made = Painter(TASK, Drawing(size=32))
    yield made
    made.world.close()


@pytest.fixture
def short(made):
    """The first 20 steps of a demonstration."""
    episode = read_episode(made / "target" / "episode_000000.hdf5")
    for field in ("actions", "rewards", "terminated"):
        setattr(episode, field, getattr(episode, field)[:20])
    for values in (episode.observations, episode.simulation):
        for name, value in values.items():
            values[name] = value[: 20 + (name not in ("executed", "subtask"))]
    episode.stamps = episode.stamps[:21]
    return episode


def test_a_drawn_picture_is_the_one_that_recording_would_have_made(painter, short):
    """The same scene and actions in the environment that training and evaluation have, cameras on."""
    drawn = painter.draw(short)
    env = make(TASK, image_size=32)
    observation, _ = env.reset(seed=short.provenance["seed"])
    for t in range(21):
        for name in ("agentview", "eye_in_hand", "joint_pos", "gripper_opening"):
            assert np.array_equal(drawn.observations[name][t], observation[name]), (t, name)
        if t < 20:
            observation, *_ = env.step(short.simulation["executed"][t])
    assert np.abs(drawn.observations["agentview"][0].astype(int) - drawn.observations["agentview"][-1]).max() > 20
    assert drawn.contract == env.contract
    assert recording.differences(env.recording, recording.of(drawn.provenance)) == {}
    env.close()


def test_any_camera_of_the_scene_at_any_size(short):
    painter = Painter(TASK, Drawing(cameras=("frontview", "eye_in_hand"), size=48, look="textured"))
    drawn = painter.draw(short)
    assert [(c.name, c.shape) for c in drawn.contract.cameras] == [
        ("frontview", (48, 48, 3)), ("eye_in_hand", (48, 48, 3)),
    ]  # fmt: skip
    assert drawn.observations["frontview"].shape == (21, 48, 48, 3) and drawn.observations["frontview"].std() > 20
    assert recording.of(drawn.provenance)["look"] == "textured"
    drawn.check()
    painter.world.close()


def test_what_cannot_be_drawn_is_refused(painter, short):
    with pytest.raises(UnknownName, match="unknown camera 'ceiling'; the valid names are: agentview, .*frontview"):
        Painter(TASK, Drawing(cameras=("ceiling",)))
    with pytest.raises(UnknownName, match="unknown camera 'frontview'"):
        next(painter.frames(short, "frontview"))
    short.simulation["qpos"] = short.simulation["qpos"][:, :9]
    with pytest.raises(DatasetError, match="a state of this scene has 30 numbers, not 9"):
        painter.draw(short)
    short.simulation.clear()
    with pytest.raises(DatasetError, match="no states to draw"):
        painter.draw(short)


def test_drawing_goes_on_and_replaces_nothing(painter, short, tmp_path):
    source, target = tmp_path / "states", tmp_path / "drawn"
    for each in (source, target):
        each.mkdir()
    for index in range(2):
        write_episode(source / f"episode_{index:06d}.hdf5", short)
    painter((source / "episode_000000.hdf5", target / "episode_000000.hdf5"))
    headers = read_headers(source)
    assert undrawn(source, target, headers, painter) == [
        (source / "episode_000001.hdf5", target / "episode_000001.hdf5")
    ]
    other = Painter(TASK, Drawing(size=32, look="textured"))
    with pytest.raises(DatasetError, match="look: 'textured' here, 'plain' there.*\n?.*choose another folder"):
        undrawn(source, target, headers, other)
    with pytest.raises(DatasetError, match="cameras.agentview.height: 16 here, 32 there"):
        undrawn(source, target, headers, Painter(TASK, Drawing(size=16)))
    headers[0].provenance["seed"] += 1
    with pytest.raises(DatasetError, match="it is another episode"):
        undrawn(source, target, headers, painter)

"""Left and right swapped: which rows, which numbers, and that a scene in a mirror is a scene of the same task."""

from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest_policies import make_agent, random_episode, tiny_contract

from policies.augment.mirror import Mirror
from policies.data.replay import Lookup, Replay
from robot import rotations
from robot.contract import Proprio
from robot.errors import PixelarmError
from sim.envs.make import make


def some_batch(contract, **look):
    replay = Replay(contract, 20, Lookup(**look))
    replay.add_episode(random_episode(contract, 8, 0))
    return replay.gather(np.arange(5))


def test_every_second_row_is_swapped_and_the_batch_itself_stays():
    contract = tiny_contract()
    batch = some_batch(contract, sequence=2, ahead=1, proposals=True)
    before = batch.obs["a"].clone()
    seen = Mirror(contract)(batch)
    sign = torch.tensor([1.0, -1.0, 1.0, 1.0])
    for name in ("obs", "next_obs", "ahead_obs"):
        for key, value in getattr(batch, name).items():
            other = getattr(seen, name)[key]
            assert torch.equal(other[0::2], value[0::2])
            mirrored = value.flip(3) if value.ndim == 4 else value * (sign[:3] if key == "eef_pos" else 1.0)
            assert torch.equal(other[1::2], mirrored[1::2]), key
    for name in ("action", "actions", "proposal", "next_proposal"):
        value, other = getattr(batch, name), getattr(seen, name)
        assert torch.equal(other[0::2], value[0::2]) and torch.equal(other[1::2], (value * sign)[1::2])
    assert torch.equal(batch.obs["a"], before) and torch.equal(seen.reward, batch.reward)


def test_an_orientation_in_the_mirror():
    """A turn by 0.3 about the vertical becomes one by -0.3, one about y stays; in the form that ``canonical`` gives."""
    contract = replace(tiny_contract(), proprio=(Proprio("eef_quat", 4, "1", "base"),))
    down = rotations.from_axis_angle(np.array([np.pi, 0.0, 0.0]))
    turned = [rotations.from_axis_angle(np.array(turn)) @ down for turn in ([0, 0, 0.3], [0, 0, -0.3], [0, 0.2, 0])]
    quaternions = torch.tensor(np.array([rotations.to_quaternion(r) for r in turned]), dtype=torch.float32)
    mirror = Mirror(contract)
    swapped = mirror._one("eef_quat", quaternions[[0, 0, 2, 2]])
    assert torch.allclose(swapped, quaternions[[0, 1, 2, 2]], atol=1e-6)


def test_what_has_no_mirror_image_is_refused():
    contract = tiny_contract()
    joints = replace(contract, proprio=(Proprio("joint_pos", 7, "rad", "joint"),))
    with pytest.raises(PixelarmError, match="joint_pos of task .* have no known mirror image: set algo.mirror=false"):
        Mirror(joints)


def test_an_agent_mirrors_what_it_learns_from(monkeypatch):
    contract = tiny_contract()
    agent, seen = make_agent(contract, "mirror=true"), []
    mirror = agent.mirror
    agent.mirror = lambda batch: seen.append(len(batch)) or mirror(batch)
    batch = some_batch(contract)
    agent.update(batch)
    agent.clone(batch)
    assert seen == [5, 5]


@pytest.mark.gl
def test_a_mirrored_scene_looks_like_its_picture_in_the_mirror():
    """Move's block and disc put at y and at -y, block straight: the table and what stands on it are each other's mirror
    image, but for the arm's own asymmetry and a pixel at edges.
    """
    env = make("move", image_size=64)
    pictures = []
    for side in (1.0, -1.0):
        env.reset(seed=3)
        world = env.world
        from sim.tasks.common.grasping import put
        from sim.tasks.common.tabletop import place_anchor

        put(world, "block_joint", (0.02, side * 0.08, 0.82), 0.0)
        place_anchor(world, "place", (0.05, -side * 0.06, 0.801))
        world.settle()
        pictures.append(env.world.render("agentview").astype(int))
    env.close()
    table = slice(16, 64)  # rows below the arm
    apart = np.abs(pictures[0][table] - pictures[1][table, ::-1]).max(axis=2) > 60
    assert apart.mean() < 0.01
    assert (np.abs(pictures[0][table] - pictures[1][table]).max(axis=2) > 60).mean() > 0.01  # without the mirror

"""Chains small enough to work out by hand, and their rows."""

from __future__ import annotations

import copy
import re
from dataclasses import FrozenInstanceError
from math import inf, pi
from typing import Any

import numpy as np
import pytest
import yaml

from robot.errors import PixelarmError
from robot.kinematics.chain import Chain, Joint

STILL = (0.0, 0.0, 0.0, 1.0)
S = np.sqrt(0.5)


def planar(low: float = -pi, high: float = pi) -> Chain:
    """Two links of 0.5 and 0.3 m in the plane z = 0.1, both joints about z."""
    return Chain(
        joints=(
            Joint("shoulder", (0.0, 0.0, 0.1), STILL, (0.0, 0.0, 1.0), low, high),
            Joint("elbow", (0.5, 0.0, 0.0), STILL, (0.0, 0.0, 2.0), low, high),  # the axis may have any length
        ),
        tip_position=(0.3, 0.0, 0.0),
        tip_xyzw=STILL,
    )


def test_stretched_along_x() -> None:
    position, rotation = planar().forward(np.zeros(2))
    np.testing.assert_allclose(position, [0.8, 0, 0.1], atol=1e-15)
    np.testing.assert_allclose(rotation, np.eye(3), atol=1e-15)


def test_upper_arm_along_y_and_forearm_back_along_x() -> None:
    joints = np.array([pi / 2, pi / 2])
    position, rotation = planar().forward(joints)
    np.testing.assert_allclose(position, [-0.3, 0.5, 0.1], atol=1e-15)
    np.testing.assert_allclose(rotation, np.diag([-1.0, -1.0, 1.0]), atol=1e-15)
    np.testing.assert_allclose(planar().origins(joints), [[0, 0, 0.1], [0, 0.5, 0.1]], atol=1e-15)


def test_jacobian_of_the_planar_arm() -> None:
    # the tip is at (-0.3, 0.5): z x (-0.3, 0.5) = (-0.5, -0.3); from the elbow it is at (-0.3, 0): z x = (0, -0.3)
    expected = [[-0.5, 0], [-0.3, -0.3], [0, 0], [0, 0], [0, 0], [1, 1]]
    np.testing.assert_allclose(planar().jacobian(np.array([pi / 2, pi / 2])), expected, atol=1e-15)


def test_fixed_turns_come_before_the_joint() -> None:
    """A quarter turn about x puts the joint's z axis along -y; the tip 1 m along x then rises by the joint's motion."""
    chain = Chain((Joint("lift", (0.0, 0.0, 0.2), (S, 0.0, 0.0, S), (0.0, 0.0, 1.0), -pi, pi),), (1.0, 0.0, 0.0), STILL)
    position, _ = chain.forward(np.array([pi / 2]))
    np.testing.assert_allclose(position, [0, 0, 1.2], atol=1e-15)
    np.testing.assert_allclose(chain.jacobian(np.array([pi / 2]))[:, 0], [-1, 0, 0, 0, -1, 0], atol=1e-15)


def test_jacobian_is_the_derivative_of_forward() -> None:
    rng, step = np.random.default_rng(0), 1e-6
    chain = Chain(
        tuple(Joint(f"j{i}", tuple(rng.normal(size=3)), unit(rng, 4), unit(rng, 3), -inf, inf) for i in range(6)),
        tuple(rng.normal(size=3)),
        unit(rng, 4),
    )
    joints = rng.uniform(-pi, pi, 6)
    jacobian, (_, rotation) = chain.jacobian(joints), chain.forward(joints)
    for i, moved in enumerate(step * np.eye(6)):
        (after, turned), (before, unturned) = chain.forward(joints + moved), chain.forward(joints - moved)
        np.testing.assert_allclose(jacobian[:3, i], (after - before) / (2 * step), atol=1e-8)
        spin = (turned - unturned) @ rotation.T / (2 * step)  # the skew matrix of the angular velocity
        np.testing.assert_allclose(jacobian[3:, i], [spin[2, 1], spin[0, 2], spin[1, 0]], atol=1e-8)


def unit(rng: np.random.Generator, size: int) -> tuple[float, ...]:
    made = rng.normal(size=size)
    return tuple((made / np.linalg.norm(made)).tolist())


def test_length_is_that_of_the_links_after_the_first_joint() -> None:
    assert planar().length == pytest.approx(0.8)


def test_a_chain_does_not_change() -> None:
    chain = planar()
    with pytest.raises(FrozenInstanceError):
        chain.tip_position = (0.0, 0.0, 0.0)  # type: ignore[misc]
    with pytest.raises(ValueError, match="read-only"):
        chain.low[0] = -9.0
    chain.forward(np.zeros(2))[0][:] = 9.0
    np.testing.assert_allclose(chain.forward(np.zeros(2))[0], [0.8, 0, 0.1], atol=1e-15)
    assert chain == planar() and hash(chain) == hash(planar())


@pytest.mark.parametrize("shape", [(1,), (3,), (2, 1), ()])
def test_joint_positions_of_another_length_are_refused(shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match=re.escape("must have the shape (2,), got")):
        planar().forward(np.zeros(shape))


# ------------------------------------------------------------------------------------------------ rows
def test_rows_lead_back_to_the_very_chain_also_through_yaml() -> None:
    rng = np.random.default_rng(1)
    joint = Joint("free", tuple(rng.normal(size=3)), unit(rng, 4), (0.0, 1.0, 0.0), -inf, inf)
    chain = Chain((*planar().joints, joint), (0.0, 0.0, 0.1), unit(rng, 4))
    assert Chain.from_rows(chain.to_rows()) == chain
    assert Chain.from_rows(yaml.safe_load(yaml.safe_dump(chain.to_rows()))) == chain


def test_whole_numbers_will_do() -> None:
    rows = planar().to_rows()
    rows["joints"][0]["axis"] = [0, 0, 1]
    assert Chain.from_rows(rows) == planar()


Path = tuple[Any, ...]
WRONG: list[tuple[Path, Any, str]] = [
    (("joints", 1, "axle"), [0, 0, 1], "unknown key in arm.yaml: joints[1]: 'axle'"),
    (("tip", "angle"), 0.0, "unknown key in arm.yaml: tip: 'angle'"),
    (("base",), {}, "unknown key in arm.yaml: 'base'"),
    (("joints", 1, "axis"), [0, 0, 0], "joints[1]: joint 'elbow': axis must not be zero"),
    (("joints", 0, "axis"), [0, 1], "joint 'shoulder': axis must be 3 finite numbers, got [0.0, 1.0]"),
    (("joints", 0, "position"), [0, 0, 0, 0], "joint 'shoulder': position (m) must be 3 finite numbers"),
    (("joints", 0, "position"), [0, 0, float("nan")], "joint 'shoulder': position (m) must be 3 finite numbers"),
    (("joints", 0, "position"), 0.5, "joints[0]: position must be a list of numbers, got 0.5"),
    (("joints", 0, "position"), [0, "x", 0], "joints[0]: position: a number is expected, got 'x'"),
    (("joints", 1, "xyzw"), [0, 0, 0.1, 1], "joint 'elbow': xyzw must be a quaternion of length 1"),
    (("joints", 1, "xyzw"), [0, 0, 1], "joint 'elbow': xyzw must be 4 finite numbers"),
    (("tip", "xyzw"), [0, 0, 0, 0], "tip: xyzw must be a quaternion of length 1"),
    (("tip", "position"), [0], "tip: position (m) must be 3 finite numbers"),
    (("joints", 0, "low"), pi, "joint 'shoulder': low must be below high (rad)"),
    (("joints", 0, "high"), float("nan"), "joint 'shoulder': low must be below high (rad)"),
    (("joints", 0, "low"), True, "joints[0]: low: a number is expected, got True"),
    (("joints", 0, "name"), "", "joints[0]: name must be a text"),
    (("joints", 1, "name"), "shoulder", "each joint of a chain must have a name of its own, got ['shoulder'] twice"),
    (("joints",), [], "a chain must have at least one joint"),
    (("joints",), {}, "joints must be a list"),
    (("joints", 1), "elbow", "joints[1] must be a mapping with name, position"),
    (("tip",), None, "tip must be a mapping with position, xyzw"),
]


@pytest.mark.parametrize(("path", "value", "words"), WRONG, ids=[words for _, _, words in WRONG])
def test_a_wrong_entry_is_named(path: Path, value: Any, words: str) -> None:
    rows = copy.deepcopy(planar().to_rows())
    at = rows
    for key in path[:-1]:
        at = at[key]
    at[path[-1]] = value
    with pytest.raises(PixelarmError, match=re.escape(words)) as caught:
        Chain.from_rows(rows, "arm.yaml")
    assert "arm.yaml" in str(caught.value)


@pytest.mark.parametrize("path", [("tip",), ("joints",), ("joints", 0, "axis"), ("joints", 1, "low"), ("tip", "xyzw")])
def test_a_missing_entry_is_named(path: Path) -> None:
    rows = copy.deepcopy(planar().to_rows())
    at = rows
    for key in path[:-1]:
        at = at[key]
    del at[path[-1]]
    with pytest.raises(PixelarmError, match=f"lacks: {path[-1]}"):
        Chain.from_rows(rows)


@pytest.mark.parametrize("rows", [None, [], "panda"])
def test_rows_that_are_no_mapping_are_refused(rows: Any) -> None:
    with pytest.raises(PixelarmError, match="kinematics must be a mapping with joints, tip"):
        Chain.from_rows(rows)

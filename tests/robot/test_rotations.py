"""Rotations by hand, and there and back."""

from __future__ import annotations

import numpy as np
import pytest

from robot import rotations

QUARTER = np.array([[0.0, -1.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, 1.0]])  # by 90 degrees about z: x becomes y
S = np.sqrt(0.5)


def test_a_quarter_turn_in_each_form() -> None:
    np.testing.assert_allclose(rotations.about_vertical(np.pi / 2), QUARTER, atol=1e-15)
    np.testing.assert_allclose(rotations.to_axis_angle(QUARTER), [0, 0, np.pi / 2], atol=1e-15)
    np.testing.assert_allclose(rotations.to_quaternion(QUARTER), [0, 0, S, S], atol=1e-15)
    np.testing.assert_allclose(rotations.from_quaternion(np.array([0, 0, 3.0, 3.0])), QUARTER, atol=1e-15)
    assert rotations.angle_between(np.eye(3), QUARTER) == pytest.approx(np.pi / 2)
    third = rotations.part_of_turn(np.eye(3), QUARTER, 1 / 3)  # 30 degrees
    np.testing.assert_allclose(third[0], [np.sqrt(0.75), -0.5, 0], atol=1e-15)


def test_no_turn_is_the_identity() -> None:
    assert np.array_equal(rotations.from_axis_angle(np.zeros(3)), np.eye(3))
    assert np.array_equal(rotations.to_axis_angle(np.eye(3)), np.zeros(3))


@pytest.mark.parametrize("scale", [1e-9, 1e-3, 1.0, np.pi - 1e-6])
def test_each_form_leads_back(scale: float) -> None:
    rng = np.random.default_rng(0)
    for _ in range(200):
        axis = rng.normal(size=3)
        vector = scale * axis / np.linalg.norm(axis)
        matrix = rotations.from_axis_angle(vector)
        np.testing.assert_allclose(matrix @ matrix.T, np.eye(3), atol=1e-14)
        np.testing.assert_allclose(rotations.to_axis_angle(matrix), vector, rtol=1e-9, atol=1e-15)
        quaternion = rotations.to_quaternion(matrix)
        np.testing.assert_allclose(rotations.from_quaternion(quaternion), matrix, atol=1e-14)
        np.testing.assert_array_equal(rotations.canonical(-quaternion), quaternion)


def test_half_a_turn_has_one_of_its_two_axes() -> None:
    vector = rotations.to_axis_angle(np.diag([1.0, -1.0, -1.0]))
    np.testing.assert_allclose(np.abs(vector), [np.pi, 0, 0], atol=1e-12)


@pytest.mark.parametrize(
    ("quaternion", "chosen"),
    [
        ((0.0, 0.0, 0.6, -0.8), (0.0, 0.0, -0.6, 0.8)),  # w above 0.5 in size: it is positive
        ((-0.8, 0.0, 0.0, 0.6), (-0.8, 0.0, 0.0, 0.6)),
        ((0.8, -0.6, 0.0, 0.0), (0.8, -0.6, 0.0, 0.0)),  # else the largest of the others is
        ((0.6, -0.8, 0.0, 0.0), (-0.6, 0.8, 0.0, 0.0)),
    ],
)
def test_one_of_two_quaternions_is_chosen(quaternion: tuple[float, ...], chosen: tuple[float, ...]) -> None:
    np.testing.assert_array_equal(rotations.canonical(np.array(quaternion)), chosen)


def test_what_is_no_rotation_becomes_nan() -> None:
    assert np.isnan(rotations.from_quaternion(np.zeros(4))).all()
    assert np.isnan(rotations.to_quaternion(np.full((3, 3), np.nan))).all()


def test_they_are_mujocos_to_the_last_bit() -> None:
    """A simulation of before, in which MuJoCo turned the hand, stays the same;
    and quaternions have the sign of MuJoCo's.
    """
    mujoco = pytest.importorskip("mujoco")
    rng = np.random.default_rng(1)
    quaternion, matrix = np.empty(4), np.empty(9)
    for _ in range(2000):
        axis = rng.normal(size=3)
        vector = axis * (rng.uniform(-np.pi, np.pi) / np.linalg.norm(axis))
        angle = float(np.linalg.norm(vector))
        mujoco.mju_axisAngle2Quat(quaternion, vector / angle, angle)
        mujoco.mju_quat2Mat(matrix, quaternion)
        ours = rotations.from_axis_angle(vector)
        assert np.array_equal(ours, matrix.reshape(3, 3))
        mujoco.mju_mat2Quat(quaternion, matrix)
        np.testing.assert_allclose(rotations.to_quaternion(ours), quaternion[[1, 2, 3, 0]], atol=1e-12)

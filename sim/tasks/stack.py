"""Stack: put the small red cube on the larger green one. robosuite's Stack scene.

Reset is robosuite's: both cubes (4 and 5 cm) anywhere in a 16 x 16 cm square at any yaw, no closer than their circles
allow. Success is robosuite's: the red cube is off the table, rests on the green one and is not held.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import numpy as np

from robot.contract import Contract
from sim.tasks.common.grasping import body_yaw, hand_yaw, held, put, touching, wrap, yaw_contract
from sim.tasks.common.tabletop import GAIN, MAX_DELTA, TABLE_HEIGHT, TabletopTask

if TYPE_CHECKING:
    from sim.physics.world import World

HALF_RANGE = 0.08  # m, each way from the table's centre; robosuite's sampler
RED_HALF, GREEN_HALF = 0.02, 0.025  # m, half edges
CLEARANCE = np.sqrt(2.0) * (RED_HALF + GREEN_HALF)  # m between the centres, 64 mm: the circles around the cubes
LIFTED = 0.04  # m above the table top; robosuite's threshold


class Stack(TabletopTask):
    name: ClassVar[str] = "stack"
    language: ClassVar[str] = "put the red cube on the green cube"
    max_steps: ClassVar[int] = 110
    manipuland: ClassVar[str | None] = "cubeA_main"
    grasps: ClassVar[bool] = True
    widest: ClassVar[float] = 2.0 * RED_HALF  # the hand turns with the cube
    environment: ClassVar[str] = "Stack"

    def make_contract(self, image_size: int) -> Contract:
        return yaw_contract(self.name, image_size)

    def place_objects(self, world: World, rng: np.random.Generator) -> None:
        red = green = np.zeros(2)
        while np.linalg.norm(red - green) <= CLEARANCE:
            red, green = rng.uniform(-HALF_RANGE, HALF_RANGE, (2, 2))
        put(world, "cubeA_joint0", (*red, TABLE_HEIGHT + RED_HALF), rng.uniform(-np.pi, np.pi))
        put(world, "cubeB_joint0", (*green, TABLE_HEIGHT + GREEN_HALF), rng.uniform(-np.pi, np.pi))

    def success(self, world: World) -> bool:
        lifted = world.object_position("cubeA_main")[2] + world.base_position[2] > TABLE_HEIGHT + LIFTED
        return bool(lifted and touching(world, "cubeA_main", "cubeB_main") and not held(world, "cubeA_main"))

    def goal(self, world: World) -> np.ndarray:
        return world.object_position("cubeB_main") + (0.0, 0.0, RED_HALF + GREEN_HALF)

    def expert(self, rng: np.random.Generator) -> StackExpert:
        return StackExpert(rng)


class StackExpert:
    """Grasp the red cube by the pair of faces that keeps the fingers off the green one, carry it above, lower it,
    let go.
    """

    HOVER = 0.07  # m above the red cube's centre before descending
    OVER = 0.035  # m between the cubes while carrying
    ALIGNED, TURNED = 0.010, 0.12  # m and rad, errors at which descending starts
    OVERLAP = 0.008  # m, horizontal error at which lowering starts
    TREMOR = 0.002  # m, standard deviation added to each commanded delta

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._grasp: float | None = None  # yaw of the hand at the grasp, rad
        self._closing = self._opening = 0

    def act(self, world: World) -> np.ndarray:
        hand, red, green = (
            world.eef_position(),
            world.object_position("cubeA_main"),
            world.object_position("cubeB_main"),
        )
        if self._closing >= 4 and np.linalg.norm(red - hand) > 0.04 and not self._opening:
            self._closing, self._grasp = 0, None  # it slipped out: start again
        if self._closing >= 4:
            move, turn, gripper = self._carry(hand, red, green), 0.0, -1.0 if self._opening else 1.0
        else:
            move, turn, gripper = self._take(world, hand, red, green)
        move = np.clip(move + self._rng.normal(0.0, self.TREMOR, 3), -MAX_DELTA, MAX_DELTA)
        return np.array([*move, turn, gripper], np.float32)

    def _take(
        self, world: World, hand: np.ndarray, red: np.ndarray, green: np.ndarray
    ) -> tuple[np.ndarray, float, float]:
        yaw = body_yaw(world, "cubeA_main")
        if self._grasp is None:
            self._grasp = self._best_grasp(yaw, hand_yaw(world), green - red)
        if not self._closing:
            self._grasp += wrap(4 * (yaw - self._grasp)) / 4  # follow the cube if it is nudged
        error, turn = red - hand, wrap(self._grasp - hand_yaw(world))
        aligned = np.linalg.norm(error[:2]) < self.ALIGNED and abs(turn) < self.TURNED
        if self._closing or (aligned and abs(error[2]) < 0.010):
            self._closing += 1
            return error, turn, 1.0
        above = 0.0 if aligned else self.HOVER
        return GAIN * (error + (0.0, 0.0, above)), GAIN * turn, -1.0

    def _best_grasp(self, yaw: float, now: float, to_green: np.ndarray) -> float:
        """Of the cube's two pairs of faces, the one whose fingers stay clear of the green cube,
        else the shorter turn.
        """
        near = np.linalg.norm(to_green[:2]) < 0.11
        green_angle = np.arctan2(to_green[1], to_green[0])

        def cost(grasp: float) -> float:
            fingers = grasp + np.pi / 2  # the fingers close along y at yaw 0
            return abs(wrap(grasp - now)) + 3.0 * near * abs(np.cos(fingers - green_angle))

        first = wrap(2 * yaw) / 2  # the same faces in [-pi/2, pi/2)
        return min((first, first + np.pi / 2 if first < 0 else first - np.pi / 2), key=cost)

    def _carry(self, hand: np.ndarray, red: np.ndarray, green: np.ndarray) -> np.ndarray:
        resting = RED_HALF + GREEN_HALF  # between the centres when stacked
        error = green + (0.0, 0.0, resting) - red
        horizontal = np.linalg.norm(error[:2])
        if self._opening or (horizontal < self.OVERLAP and abs(error[2]) < 0.006):
            self._opening += 1
            return np.array([0.0, 0.0, 0.0 if self._opening < 4 else MAX_DELTA])
        if horizontal < self.OVERLAP:
            return np.array([error[0], error[1], np.clip(GAIN * error[2], -0.02, 0.02)])
        up = error[2] + self.OVER
        if up > 0.015:  # still too low to pass over the green cube
            return np.array([0.0, 0.0, GAIN * up])
        return GAIN * np.array([error[0], error[1], up])

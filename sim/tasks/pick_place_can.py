"""Pick and place a can: from the left bin into its compartment of the right one. robosuite's PickPlaceCan scene.

Reset is robosuite's: the can stands anywhere in the left bin at least 5 cm (and its own radius) from the walls.
robosuite parks the milk, bread and cereal of the full task far away; here they are not in the scene at all. Success is
robosuite's: the can's centre inside its compartment, below the walls' top, and the gripper away from it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import mujoco
import numpy as np

from robot.contract import Contract
from sim.physics.arm import ANYWHERE, Workspace
from sim.scene.names import in_spec
from sim.tasks.common.grasping import hand_yaw, put, wrap, yaw_contract
from sim.tasks.common.tabletop import GAIN, MAX_DELTA, TabletopTask

if TYPE_CHECKING:
    from sim.physics.world import World

# m, world frame; robosuite's BinsArena: two bins of 39 x 49 cm, the right one cut in four
LEFT_BIN = np.array([0.1, -0.25, 0.8])
RIGHT_BIN = np.array([0.1, 0.28, 0.8])
BIN_SIZE = np.array([0.39, 0.49])
MARGIN = 0.05  # m, robosuite's distance of the reset from a bin's edge
CAN_RADIUS, CAN_FOOT = 0.025, 0.06  # m; can.xml: its radius, and its centre above the bin's origin when it stands
WALL = 0.1  # m above the bin's origin that still counts as inside
AWAY = np.arctanh(0.4) / 10.0  # m, 42 mm between gripper and can: robosuite asks 1 - tanh(10 d) < 0.6
UNUSED = ("Milk", "Bread", "Cereal")


class PickPlaceCan(TabletopTask):
    name: ClassVar[str] = "pick_place_can"
    language: ClassVar[str] = "put the can into its compartment of the other bin"
    max_steps: ClassVar[int] = 180
    manipuland: ClassVar[str | None] = "Can_main"
    grasps: ClassVar[bool] = True
    widest: ClassVar[float] = 2.0 * CAN_RADIUS
    environment: ClassVar[str] = "PickPlaceCan"
    workspace: ClassVar[Workspace] = ANYWHERE

    def make_contract(self, image_size: int) -> Contract:
        return yaw_contract(self.name, image_size)

    def build(self, spec: mujoco.MjSpec) -> None:
        """Take the other three objects and their ghosts away. The can's ghost marks the compartment, as in robosuite,
        but opaque: the ray-caster cannot draw it at robosuite's 30 %.
        """
        for name in UNUSED:
            spec.delete(in_spec(spec, "body", f"{name}_main"))
            spec.delete(in_spec(spec, "body", f"Visual{name}_main"))
        in_spec(spec, "body", "VisualCan_main").pos = (*(RIGHT_BIN[:2] + BIN_SIZE / 4), RIGHT_BIN[2] + CAN_FOOT)
        for geom in in_spec(spec, "body", "VisualCan_main").geoms:
            geom.rgba[3] = 1.0

    def place_objects(self, world: World, rng: np.random.Generator) -> None:
        half = BIN_SIZE / 2 - MARGIN - CAN_RADIUS
        position = LEFT_BIN + (*rng.uniform(-half, half), CAN_FOOT)
        put(world, "Can_joint0", position, rng.uniform(-np.pi, np.pi))

    def success(self, world: World) -> bool:
        can = world.object_position("Can_main")
        inside = can + world.base_position - RIGHT_BIN
        return bool(
            np.all(inside > 0.0)
            and np.all(inside < (*(BIN_SIZE / 2), WALL))
            and np.linalg.norm(can - world.eef_position()) > AWAY
        )

    def goal(self, world: World) -> np.ndarray:
        return RIGHT_BIN + (*(BIN_SIZE / 4), CAN_FOOT) - world.base_position

    def expert(self, rng: np.random.Generator) -> PickPlaceCanExpert:
        return PickPlaceCanExpert(rng)


class PickPlaceCanExpert:
    """Grasp the can from above, lift it over the walls, carry it to the near corner of its compartment,
    let go and rise.
    """

    HOVER = 0.10  # m above the grasp before descending
    GRASP = 0.015  # m above the can's centre
    ALIGNED = 0.012  # m, horizontal error at which descending starts
    # m of the can's centre above the bins' origin while carrying: walls end at 0.10, the can reaches 0.04 down
    OVER = 0.17
    # m from the right bin's centre: clear of the partition by a can's radius and 2 cm, and still within the arm's reach
    DROP = np.array([0.06, 0.065])
    TREMOR = 0.002  # m, standard deviation added to each commanded delta

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._closing = self._opening = 0

    def act(self, world: World) -> np.ndarray:
        hand, can = world.eef_position(), world.object_position("Can_main")
        grasp = can + (0.0, 0.0, self.GRASP) - hand
        if self._closing >= 4 and np.linalg.norm(grasp) > 0.05 and not self._opening:
            self._closing = 0  # it slipped out: start again
        if self._closing >= 4:
            move, gripper = self._carry(can - (RIGHT_BIN - world.base_position)), -1.0 if self._opening else 1.0
        elif self._closing or (np.linalg.norm(grasp[:2]) < self.ALIGNED and abs(grasp[2]) < 0.012):
            self._closing += 1
            move, gripper = grasp, 1.0
        else:
            above = 0.0 if np.linalg.norm(grasp[:2]) < self.ALIGNED else self.HOVER
            move, gripper = GAIN * (grasp + (0.0, 0.0, above)), -1.0
        turn = -wrap(hand_yaw(world))  # a can has no sides; hold the hand straight
        move = np.clip(move + self._rng.normal(0.0, self.TREMOR, 3), -MAX_DELTA, MAX_DELTA)
        return np.array([*move, turn, gripper], np.float32)

    def _carry(self, can: np.ndarray) -> np.ndarray:
        """``can`` is its position from the right bin's origin."""
        error = np.append(self.DROP, self.OVER) - can
        if self._opening or np.linalg.norm(error[:2]) < 0.02:
            self._opening += 1
            return np.array([0.0, 0.0, 0.0 if self._opening < 4 else MAX_DELTA])
        if error[2] > 0.03:  # still among the walls
            return np.array([0.0, 0.0, MAX_DELTA])
        return GAIN * error

"""Nut assembly: pick the square nut up by its handle and put it over the square peg. robosuite's NutAssemblySquare
scene.

Reset is robosuite's: the nut lies left of the table's middle, in a strip of 0.5 x 11.5 cm, at any yaw. robosuite parks
the round nut of the full task far away; here it is not in the scene at all. Both pegs stand. Success is robosuite's:
the nut's centre within 3 cm of the peg's axis each way, at most 5 cm above the table, and the gripper away from it. The
hole leaves 6.7 mm on each side of the peg.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

import mujoco
import numpy as np

from robot.contract import Contract
from sim.physics.arm import ANYWHERE, Workspace
from sim.scene.names import in_spec
from sim.tasks.common.grasping import MAX_YAW, body_rotation, body_yaw, hand_yaw, put, wrap, yaw_contract
from sim.tasks.common.tabletop import GAIN, MAX_DELTA, TabletopTask

if TYPE_CHECKING:
    from sim.physics.world import World

TABLE_HEIGHT = 0.82  # m, world frame; robosuite's PegsArena offset
X_RANGE, Y_RANGE = (-0.115, -0.11), (0.11, 0.225)  # m from the table's centre; robosuite's sampler
REST = 0.01  # m from the table to the centre of a nut that lies flat
PEG = np.array([0.23, 0.10])  # m, world frame; robosuite's square peg, whose top is 13 cm above the table
PEG_TOP = 0.95  # m, world frame
NEAR, LOW = 0.03, 0.05  # m; robosuite's test of a nut on its peg
AWAY = np.arctanh(0.4) / 10.0  # m, 42 mm between gripper and nut: robosuite asks 1 - tanh(10 d) < 0.6
HANDLE = np.array([0.054, 0.0, 0.0])  # m, middle of the handle in the nut's frame; square-nut.xml


class NutAssemblySquare(TabletopTask):
    name: ClassVar[str] = "nut_assembly_square"
    language: ClassVar[str] = "put the square nut on the square peg"
    max_steps: ClassVar[int] = 180
    manipuland: ClassVar[str | None] = "SquareNut_main"
    grasps: ClassVar[bool] = True
    environment: ClassVar[str] = "NutAssemblySquare"
    workspace: ClassVar[Workspace] = ANYWHERE

    def make_contract(self, image_size: int) -> Contract:
        return yaw_contract(self.name, image_size)

    def build(self, spec: mujoco.MjSpec) -> None:
        """Take the round nut away."""
        spec.delete(in_spec(spec, "body", "RoundNut_main"))

    def place_objects(self, world: World, rng: np.random.Generator) -> None:
        x, y = rng.uniform(*X_RANGE), rng.uniform(*Y_RANGE)
        put(world, "SquareNut_joint0", (x, y, TABLE_HEIGHT + REST), rng.uniform(-np.pi, np.pi))

    def success(self, world: World) -> bool:
        nut = world.object_position("SquareNut_main")
        x, y, z = nut + world.base_position
        on_peg = abs(x - PEG[0]) < NEAR and abs(y - PEG[1]) < NEAR and z < TABLE_HEIGHT + LOW
        return bool(on_peg and np.linalg.norm(nut - world.eef_position()) > AWAY)

    def goal(self, world: World) -> np.ndarray:
        return np.array([*PEG, TABLE_HEIGHT + REST]) - world.base_position

    def expert(self, rng: np.random.Generator) -> NutExpert:
        return NutExpert(rng)


class NutExpert:
    """Grasp the handle, lift the nut over the peg while turning a face of its hole to a face of the peg, lower it, let
    go.

    The handle points in any direction and the arm reaches the peg best with the handle towards its base, so a plan is a
    yaw at the grasp and a yaw at the peg: of those the wrist can do, the one that turns least and strains the reach
    least.
    """

    HOVER = 0.08  # m above the handle before descending
    GRASP = 0.008  # m above the handle's middle, so that the fingers, which end 11 mm below the site, clear the table
    ALIGNED, TURNED = 0.008, 0.08  # m and rad, errors at which descending starts
    OVER = 0.03  # m from the peg's top to the nut's centre while carrying
    FIT, FIT_TURN = 0.005, 0.08  # m and rad, errors at which lowering starts: the hole leaves 6.7 mm
    LET_GO = 0.03  # m below the peg's top at which the nut may fall
    # rad of hand yaw: joint 7 is about pi/4 + joint 1 - yaw and may be 2.9 either way; joint 1 is up to 0.6 at the nut
    WRIST = (-1.15, 3.4)
    TREMOR = 0.0015  # m, standard deviation added to each commanded delta

    def __init__(self, rng: np.random.Generator) -> None:
        self._rng = rng
        self._plan: tuple[float, float] | None = None  # hand yaw at the grasp and at the peg, rad, not wrapped
        self._turned = 0.0  # hand yaw now, counted on past pi
        self._closing = self._opening = 0
        self._lowering = False

    def act(self, world: World) -> np.ndarray:
        hand, nut = world.eef_position(), world.object_position("SquareNut_main")
        self._turned += wrap(hand_yaw(world) - self._turned)
        handle = nut + body_rotation(world, "SquareNut_main") @ HANDLE + (0.0, 0.0, self.GRASP)
        if self._closing >= 5 and np.linalg.norm(handle - hand) > 0.04 and not self._opening:
            self._closing, self._lowering, self._plan = 0, False, None  # it slipped: start again
        if self._plan is None:
            self._plan = self._best_plan(body_yaw(world, "SquareNut_main"))
        if self._closing >= 5:
            move, turn = self._carry(world, nut)
            gripper = -1.0 if self._opening else 1.0
        else:
            error, turn = handle - hand, self._plan[0] - self._turned
            aligned = np.linalg.norm(error[:2]) < self.ALIGNED and abs(turn) < self.TURNED
            gripper = -1.0
            if self._closing or (aligned and abs(error[2]) < 0.008):
                self._closing += 1
                move, gripper = error, 1.0
            else:
                move = GAIN * (error + (0.0, 0.0, 0.0 if aligned else self.HOVER))
        move = np.clip(move + self._rng.normal(0.0, self.TREMOR, 3), -MAX_DELTA, MAX_DELTA)
        return np.array([*move, np.clip(GAIN * turn, -MAX_YAW, MAX_YAW), gripper], np.float32)

    def _best_plan(self, nut: float) -> tuple[float, float]:
        """Yaw of the hand at the grasp and at the peg, for a nut that lies at yaw ``nut``."""
        plans = []
        for grasp in (nut + k * np.pi for k in range(-3, 4)):
            for k in range(-4, 5):
                peg = grasp + wrap(np.pi - nut) + k * np.pi / 2
                strain = abs(wrap(k * np.pi / 2))  # how far the handle points away from the base
                if all(self.WRIST[0] < yaw < self.WRIST[1] for yaw in (grasp, peg)) and strain < 2.0:
                    plans.append((abs(grasp - self._turned) + abs(peg - grasp) + 0.5 * strain, grasp, peg))
        _, grasp, peg = min(plans)
        return grasp, peg

    def _carry(self, world: World, nut: np.ndarray) -> tuple[np.ndarray, float]:
        assert self._plan is not None
        peg = np.array([*PEG, PEG_TOP]) - world.base_position
        error = peg + (0.0, 0.0, self.OVER) - nut
        turn = wrap(4 * -body_yaw(world, "SquareNut_main")) / 4  # to the nearest fit of the square hole
        far = self._plan[1] - self._turned
        if abs(far) > 0.5:
            turn = far  # on the way round, by the hand
        self._lowering |= bool(np.linalg.norm(error[:2]) < self.FIT and abs(turn) < self.FIT_TURN)
        if self._opening or (self._lowering and nut[2] < peg[2] - self.LET_GO):
            self._opening += 1
            return np.zeros(3), 0.0
        if self._lowering:
            return np.array([*error[:2], -0.03]), turn
        if error[2] > 0.03:
            return np.array([0.0, 0.0, MAX_DELTA]), turn
        return GAIN * error, turn

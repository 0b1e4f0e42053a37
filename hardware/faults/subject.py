"""What is tried: a policy bundle on a simulated arm. Nothing here ever commands a real one."""

from __future__ import annotations

from pathlib import Path

from robot import bundle, profile
from robot.actions import POSE
from robot.contract import Contract
from robot.errors import PixelarmError
from robot.profile import ArmProfile


def load(path: Path, arm: str) -> tuple[ArmProfile, Contract]:
    """The profile of a simulated arm, by name or file, and the contract of the bundle at ``path`` that it can run.

    Raises:
        PixelarmError: there is no bundle, the profile is a real arm's, or the two do not fit.
    """
    if not path.is_dir():
        raise PixelarmError(f"there is no policy bundle at {path}; `pixelarm export` writes one")
    made = ArmProfile.load(profile.find(arm, profile.shipped()))
    if made.contract is None:  # a simulated arm says its contract, a real driver does not
        raise PixelarmError(
            f"{made.name!r} is no simulated arm, and this command moves simulated ones only, such as sim_{made.name}"
        )
    contract = bundle.read(path)[1]
    made.require_contract(contract)
    if not contract.cameras:
        raise PixelarmError("this command needs a policy that sees, and the contract of this bundle has no camera")
    return made, contract


def require_comparable(arm: ArmProfile, contract: Contract) -> None:
    """Raise PixelarmError unless other loop shapes can run this policy too: one observation, one pose."""
    if arm.told(contract.action.kind) != POSE:
        raise PixelarmError(f"the arm profile {arm.name!r} takes no poses of this policy; sim_panda does")
    if contract.history > 1 or contract.chunk > 1:
        raise PixelarmError(
            "this comparison is for policies of one observation and one action, and the contract of this bundle has a "
            f"history of {contract.history} and chunks of {contract.chunk}"
        )

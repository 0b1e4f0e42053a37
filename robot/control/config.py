"""Settings of one deployment, and what the loop refuses before it starts."""

from __future__ import annotations

from dataclasses import dataclass

from robot.actions import KINDS
from robot.contract import Contract
from robot.errors import PixelarmError


@dataclass(frozen=True)
class LoopConfig:
    """Settings of one deployment that are not part of the contract."""

    grace_ms: float = 20.0  # longest wait of a tick for an observation that is about to arrive
    slow_stop_after_s: float = 1.0  # continuous hold after which the state reads "stopped"
    max_age_ms: float | None = None  # overrides the contract's
    max_errors: int = 3  # consecutive inference errors that latch
    enable_timeout_s: float | None = None  # deadman: silent for longer is released; None: no deadman required
    compare_contract: bool = False  # the arm says its contract: command nothing before it is known and fits
    home_xyzw: tuple[float, ...] | None = (
        None  # orientation of the end effector with the arm at home, where the yaw is 0
    )


def require_supported(contract: Contract, config: LoopConfig) -> None:
    """Refuse at start-up what the loop cannot do right."""
    contract.require_arm()
    if KINDS[contract.action.kind].needs_home and config.home_xyzw is None:
        raise PixelarmError(
            f"{contract.action.kind!r} actions count from the orientation at home: give it as home_xyzw in the arm's "
            f"profile"
        )
    if contract.deadline_ms >= 1e3 * contract.period_s:
        period_ms = 1e3 * contract.period_s
        raise PixelarmError(f"deadline_ms {contract.deadline_ms:g} must be shorter than the period, {period_ms:g} ms")

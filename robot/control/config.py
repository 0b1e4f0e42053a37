"""Settings of one deployment, and what the loop refuses before it starts."""

from __future__ import annotations

import math
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
    deadline_ms: float | None = None  # overrides the contract's; over a period long it needs a chunk that covers it
    fade_ms: float = (
        100.0  # how long a new chunk takes to replace the one before, where inference runs beside the ticks
    )
    max_errors: int = 3  # consecutive inference errors that latch
    max_misses: int = 20  # deadlines missed within misses_of control periods that latch; 0: never
    misses_of: int = 60
    enable_timeout_s: float | None = None  # deadman: silent for longer is released; None: no deadman required
    compare_contract: bool = False  # the arm says its contract: command nothing before it is known and fits
    home_xyzw: tuple[float, ...] | None = (
        None  # orientation of the end effector with the arm at home, where the yaw is 0
    )


def beside_the_ticks(contract: Contract, deadline_ms: float) -> bool:
    """Inference may take longer than a control period: ticks do not wait for it."""
    return deadline_ms >= 1e3 * contract.period_s


def longest_inference_ms(contract: Contract, deadline_ms: float) -> float:
    """The longest that an inference may take to meet its deadline, of an observation that is used at once. Beside the
    ticks, an answer may have to wait one control period for the tick that uses it."""
    return deadline_ms - 1e3 * contract.period_s if beside_the_ticks(contract, deadline_ms) else deadline_ms


def require_supported(contract: Contract, config: LoopConfig) -> None:
    """Refuse at start-up what the loop cannot do right."""
    contract.require_arm()
    if KINDS[contract.action.kind].needs_home and config.home_xyzw is None:
        raise PixelarmError(
            f"{contract.action.kind!r} actions count from the orientation at home: give it as home_xyzw in the arm's "
            f"profile"
        )
    _check_deadline(contract, config)


def _check_deadline(contract: Contract, config: LoopConfig) -> None:
    """Inference within a period; or beside the ticks, where a chunk lasts until the next one is there for certain.

    The chunk that answers an observation is there a deadline after it. The policy is then asked about a newer one, and
    the chunk that answers this is there another deadline later.
    """
    deadline_ms, period_ms = config.deadline_ms or contract.deadline_ms, 1e3 * contract.period_s
    if not 0 < deadline_ms < math.inf:
        raise PixelarmError(f"deadline_ms must be positive and finite, got {deadline_ms}")
    if not 0 <= config.fade_ms < math.inf:
        raise PixelarmError(f"fade_ms must be finite and not negative, got {config.fade_ms}")
    if not beside_the_ticks(contract, deadline_ms):
        return
    words = f"deadline_ms {deadline_ms:g} must be shorter than the period, {period_ms:g} ms"
    if contract.chunk == 1:
        raise PixelarmError(words)
    executed_ms = contract.execute * period_ms
    cover = "twice the deadline" if executed_ms <= deadline_ms else f"execute, {executed_ms:g} ms, and the deadline"
    needed = math.ceil((deadline_ms + max(deadline_ms, executed_ms)) / period_ms - 1e-9)
    if contract.chunk < needed:
        raise PixelarmError(
            f"{words}, or chunks must cover {cover}: {needed} actions or more, and this policy returns {contract.chunk}"
        )

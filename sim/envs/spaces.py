"""gymnasium's spaces of a contract, and what an action must be."""

from __future__ import annotations

import gymnasium
import numpy as np

from robot.contract import Contract


def observation_space(contract: Contract) -> gymnasium.spaces.Dict:
    """Images in 0 to 255, and proprioception without bounds."""
    box = gymnasium.spaces.Box
    spaces: dict[str, gymnasium.Space] = {c.name: box(0, 255, c.shape, np.uint8) for c in contract.cameras}
    return gymnasium.spaces.Dict(
        spaces | {p.name: box(-np.inf, np.inf, (p.size,), np.float32) for p in contract.proprio}
    )


def action_space(contract: Contract) -> gymnasium.spaces.Box:
    """The contract's bounds, in its units."""
    return gymnasium.spaces.Box(np.array(contract.action.low, np.float32), np.array(contract.action.high, np.float32))


def checked_action(contract: Contract, action: np.ndarray) -> np.ndarray:
    """The action ``(size,)`` float32, within its bounds.

    Raises:
        ValueError: it has another size, or is not finite.
    """
    action = np.asarray(action, np.float32)
    if action.shape != (contract.action.size,) or not np.all(np.isfinite(action)):
        raise ValueError(f"an action is {contract.action.size} finite numbers {contract.action.names}, got {action!r}")
    return contract.clip_action(action)

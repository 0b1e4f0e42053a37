"""Stretches of demonstrations to learn skills from. Each begins and ends in one episode, whatever its length."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from policies.data.replay import examples
from robot.contract import Contract
from robot.dataset.episodes import Episode
from robot.errors import DatasetError, PixelarmError


@dataclass(frozen=True)
class SkillBatch:
    """B stretches of H actions.

    Attributes:
        states: ``(B, H + 1, F)`` float32, before each action and after the last one, in the contract's units; the
            episode's last state is repeated after its end.
        actions: ``(B, H, A)`` float32; the last one is repeated.
        valid: ``(B, H)`` bool, which of those are examples of the same episode.
    """

    states: torch.Tensor
    actions: torch.Tensor
    valid: torch.Tensor

    def __len__(self) -> int:
        return len(self.states)

    def to(self, device: torch.device) -> SkillBatch:
        return SkillBatch(self.states.to(device), self.actions.to(device), self.valid.to(device))


class SkillWindows(Dataset[SkillBatch]):
    """A stretch from every moment of some episodes whose action is an example to follow.

    Args:
        contract: of states alone.
        horizon: H, actions of a stretch.
        least: name and value of the option that says how few actions an episode may have; by default H.

    Raises:
        PixelarmError: there are cameras, or nothing else.
        DatasetError: an episode has fewer.
    """

    def __init__(
        self, contract: Contract, episodes: Sequence[Episode], horizon: int, least: tuple[str, int] | None = None
    ) -> None:
        require_states(contract)
        option, fewest = least or ("horizon", horizon)
        for i, episode in enumerate(episodes):
            if len(episode) < fewest:
                raise DatasetError(
                    f"episode {i} of the demonstrations has {len(episode)} actions, and a skill has "
                    f"algo.{option}={fewest}: leave it out, or learn skills with a smaller algo.{option}"
                )
        self.horizon = horizon
        names, size = [entry.name for entry in contract.proprio], sum(entry.size for entry in contract.proprio)
        rows = [np.concatenate([e.observations[name] for name in names], axis=1) for e in episodes]
        ends = np.cumsum([len(row) for row in rows])
        self.states = torch.from_numpy(np.concatenate([np.zeros((0, size), np.float32), *rows]))  # (N, F)
        last = [np.full(len(row), end - 1) for row, end in zip(rows, ends)]
        self._last = np.concatenate([np.zeros(0, np.int64), *last])  # of each state, its episode's last one
        # an action for each state; those of last states are never read
        padded = [np.concatenate([contract.clip_action(e.actions), e.actions[-1:]]) for e in episodes]
        self._actions = np.concatenate([np.zeros((0, contract.action.size), np.float32), *padded])
        follow = [np.append(examples(e), False) for e in episodes]
        self._follow = np.concatenate([np.zeros(0, bool), *follow])
        self._rows = np.flatnonzero(self._follow)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, rows: Sequence[int]) -> SkillBatch:
        first = self._rows[np.asarray(rows, np.int64)]
        last = self._last[first][:, None]
        at = first[:, None] + np.arange(self.horizon + 1)
        acting = np.minimum(at[:, :-1], last - 1)
        return SkillBatch(
            states=self.states[torch.from_numpy(np.minimum(at, last))],
            actions=torch.from_numpy(self._actions[acting]),
            valid=torch.from_numpy((at[:, :-1] < last) & self._follow[acting]),
        )

    def only(self, rows: np.ndarray) -> SkillWindows:
        """Some of these stretches, ``(M,)`` int64 of their rows."""
        some = copy.copy(self)
        some._rows = self._rows[rows]
        return some

    def all_states(self) -> torch.Tensor:
        """The state before each action that is an example to follow, ``(N, F)``."""
        return self.states[torch.from_numpy(self._rows)]

    def all_actions(self) -> torch.Tensor:
        """Those actions, ``(N, A)``."""
        return torch.from_numpy(self._actions[self._rows])

    def left(self) -> torch.Tensor:
        """Of every state, the control steps to its episode's end, ``(N,)`` float32."""
        return torch.from_numpy((self._last - np.arange(len(self._last))).astype(np.float32))

    def ahead(self, steps: int) -> torch.Tensor:
        """Of every state, the one so many control steps later in the same episode, or its last one; ``(N, F)``."""
        at = np.minimum(np.arange(len(self._last)) + steps, self._last)
        return self.states[torch.from_numpy(at)]


def require_states(contract: Contract) -> None:
    """Raise PixelarmError of a contract with cameras, or with nothing to observe."""
    if contract.cameras or not contract.proprio:
        what = f"the cameras {', '.join(c.name for c in contract.cameras)}" if contract.cameras else "nothing"
        raise PixelarmError(
            f"skills are learned from states alone, and this policy of {contract.task} observes {what}: set "
            "task.observe=states, which the kitchen's tasks have"
        )

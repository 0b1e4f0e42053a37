"""Stretches of demonstrations to learn skills from. Each begins and ends in one episode, whatever its length."""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from torch.utils.data import Dataset

from policies.data.replay import examples
from policies.policy import Observation
from robot.contract import Contract
from robot.dataset.episodes import Episode
from robot.errors import DatasetError, PixelarmError


@dataclass(frozen=True)
class SkillBatch:
    """B stretches of H actions.

    Attributes:
        states: ``(B, H + 1, P)`` float32, proprioception before each action and after the last one, in the contract's
            units; the episode's last one is repeated after its end.
        actions: ``(B, H, A)`` float32; the last one is repeated.
        valid: ``(B, H)`` bool, which of those are examples of the same episode.
        drawn: ``(B, K)`` int64, steps of each stretch that were drawn at random, 0 to H - 1.
        pictures: of each camera ``(B, 2 + K, C, H, W)`` uint8: before the first action, after the last one, and before
            those of the steps drawn. Empty of a contract without cameras.
    """

    states: torch.Tensor
    actions: torch.Tensor
    valid: torch.Tensor
    drawn: torch.Tensor
    pictures: dict[str, torch.Tensor]

    def __len__(self) -> int:
        return len(self.states)

    def to(self, device: torch.device) -> SkillBatch:
        return SkillBatch(
            self.states.to(device),
            self.actions.to(device),
            self.valid.to(device),
            self.drawn.to(device),
            {name: images.to(device) for name, images in self.pictures.items()},
        )


def join(first: SkillBatch, second: SkillBatch) -> SkillBatch:
    """The stretches of both."""
    rows = ("states", "actions", "valid", "drawn")
    pictures = {name: torch.cat([seen, second.pictures[name]]) for name, seen in first.pictures.items()}
    return SkillBatch(
        **{name: torch.cat([getattr(first, name), getattr(second, name)]) for name in rows}, pictures=pictures
    )


class SkillWindows(Dataset[SkillBatch]):
    """A stretch from every moment of some episodes whose action is an example to follow.

    Pictures are kept in memory as they are, each once: 25 kB a moment of two cameras of 64 pixels.

    Args:
        contract: with proprioception; cameras are read if it has some.
        horizon: H, actions of a stretch.
        drawn: K, how many steps of each stretch are drawn at random. What is drawn follows from the rows of a batch.
        least: name and value of the option that says how few actions an episode may have; by default H.

    Raises:
        PixelarmError: there is no proprioception.
        DatasetError: an episode has fewer.
    """

    def __init__(
        self,
        contract: Contract,
        episodes: Sequence[Episode],
        horizon: int,
        drawn: int = 0,
        least: tuple[str, int] | None = None,
    ) -> None:
        require_proprio(contract)
        option, fewest = least or ("horizon", horizon)
        for i, episode in enumerate(episodes):
            if len(episode) < fewest:
                raise DatasetError(
                    f"episode {i} of the demonstrations has {len(episode)} actions, and a skill has "
                    f"algo.{option}={fewest}: leave it out, or learn skills with a smaller algo.{option}"
                )
        self.horizon, self.drawn = horizon, drawn
        self._fields = {entry.name: entry.size for entry in contract.proprio}
        self._pictures = {
            camera.name: torch.from_numpy(
                np.concatenate(
                    [np.zeros((0, *camera.shape), np.uint8), *(e.observations[camera.name] for e in episodes)]
                )
            )
            for camera in contract.cameras
        }  # (N, H, W, C)
        names, size = [entry.name for entry in contract.proprio], sum(entry.size for entry in contract.proprio)
        rows = [np.concatenate([e.observations[name] for name in names], axis=1) for e in episodes]
        ends = np.cumsum([len(row) for row in rows])
        self.states = torch.from_numpy(np.concatenate([np.zeros((0, size), np.float32), *rows]))  # (N, P)
        last = [np.full(len(row), end - 1) for row, end in zip(rows, ends)]
        self._last = np.concatenate([np.zeros(0, np.int64), *last])  # of each state, its episode's last one
        # an action for each state; the last one is repeated
        padded = [contract.clip_action(np.concatenate([e.actions, e.actions[-1:]])) for e in episodes]
        self.actions = torch.from_numpy(np.concatenate([np.zeros((0, contract.action.size), np.float32), *padded]))
        follow = [np.append(examples(e), False) for e in episodes]
        self._follow = np.concatenate([np.zeros(0, bool), *follow])
        self._rows = np.flatnonzero(self._follow)

    def __len__(self) -> int:
        return len(self._rows)

    def __getitems__(self, rows: Sequence[int]) -> SkillBatch:
        first = self._rows[np.asarray(rows, np.int64)]
        last = self._last[first][:, None]
        at = first[:, None] + np.arange(self.horizon + 1)
        acting, within = np.minimum(at[:, :-1], last - 1), np.minimum(at, last)
        drawn = np.random.default_rng(first).integers(0, self.horizon, (len(first), self.drawn))
        shown = np.concatenate([within[:, [0, -1]], np.take_along_axis(within, drawn, axis=1)], axis=1)
        return SkillBatch(
            states=self.states[torch.from_numpy(within)],
            actions=self.actions[torch.from_numpy(acting)],
            valid=torch.from_numpy((at[:, :-1] < last) & self._follow[acting]),
            drawn=torch.from_numpy(drawn),
            pictures=self._shown(torch.from_numpy(shown)),
        )

    def _shown(self, at: torch.Tensor) -> dict[str, torch.Tensor]:
        """Of each camera ``(*at.shape, C, H, W)``."""
        return {name: images[at].movedim(-1, -3) for name, images in self._pictures.items()}

    def observations(self, start: int, end: int) -> Observation:
        """What a policy sees at those moments, as ``policies.policy`` has it."""
        values = self.states[start:end].split(list(self._fields.values()), dim=1)
        return {**self._shown(torch.arange(start, min(end, len(self.states)))), **dict(zip(self._fields, values))}

    def only(self, rows: np.ndarray) -> SkillWindows:
        """Some of these stretches, ``(M,)`` int64 of their rows."""
        some = copy.copy(self)
        some._rows = self._rows[rows]
        return some

    def all_states(self) -> torch.Tensor:
        """Proprioception before each action that is an example to follow, ``(N, P)``."""
        return self.states[torch.from_numpy(self._rows)]

    def all_actions(self) -> torch.Tensor:
        """Those actions, ``(N, A)``."""
        return self.actions[torch.from_numpy(self._rows)]

    def left(self) -> torch.Tensor:
        """Of every moment, the control steps to its episode's end, ``(N,)`` float32."""
        return torch.from_numpy((self._last - np.arange(len(self._last))).astype(np.float32))

    def ahead(self, steps: int) -> torch.Tensor:
        """Of every moment, the one so many control steps later in its episode, or the last one; ``(N,)`` int64."""
        return torch.from_numpy(np.minimum(np.arange(len(self._last)) + steps, self._last))


@dataclass(frozen=True)
class MixedBatch:
    """Stretches ``(B, ...)``, and which of them are of the demonstrations: ``target`` ``(B,)`` bool."""

    stretches: SkillBatch
    target: torch.Tensor

    def __len__(self) -> int:
        return len(self.target)

    def to(self, device: torch.device) -> MixedBatch:
        return MixedBatch(self.stretches.to(device), self.target.to(device))


class Mixture(Dataset[MixedBatch]):
    """Stretches of the demonstrations and others, a fixed share of each batch of either; without others, the
    demonstrations' alone. A row is a pair of both, of which a batch takes one: rows that are drawn uniformly draw
    either uniformly.

    Args:
        share: of a batch, of the others.
    """

    def __init__(self, target: SkillWindows, others: SkillWindows | None, share: float = 0.5) -> None:
        self.target, self.others, self.share = target, others, share

    def __len__(self) -> int:
        return len(self.target) * (1 if self.others is None else len(self.others))

    def __getitems__(self, rows: Sequence[int]) -> MixedBatch:
        """Of B rows the first ones as stretches of the demonstrations, then the rest as others."""
        at = np.asarray(rows, np.int64)
        number = len(at) if self.others is None else len(at) - int(len(at) * self.share)
        mine = self.target.__getitems__(at[:number] % len(self.target))  # type: ignore[arg-type]
        if self.others is None:
            return MixedBatch(mine, torch.ones(len(mine), dtype=torch.bool))
        other = self.others.__getitems__(at[number:] // len(self.target))  # type: ignore[arg-type]
        both = join(mine, other)
        return MixedBatch(both, torch.arange(len(both)) < len(mine))


def require_proprio(contract: Contract) -> None:
    """Raise PixelarmError of a contract without proprioception: a skill is told by it and the actions."""
    if not contract.proprio:
        raise PixelarmError(
            f"skills are learned from an arm's state beside what its cameras see, and the contract of {contract.task} "
            "has no proprioception"
        )


def require_states(contract: Contract) -> None:
    """Raise PixelarmError of a contract with cameras, which some families cannot read yet."""
    if contract.cameras:
        raise PixelarmError(
            f"these skills are learned from states alone, and this policy of {contract.task} observes the cameras "
            f"{', '.join(c.name for c in contract.cameras)}: set task.observe=states, which the kitchen's tasks have, "
            "or take experiment=fist_pixels"
        )

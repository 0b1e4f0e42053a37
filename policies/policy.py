"""What evaluation, export, deployment and a run's folder know of any policy, and the families of policies there are.

A family brings a policy and says how it learns: with an ``Agent`` it learns online from reward; without one it is
fitted to demonstrations by minimising its ``loss``. To add one: write its file, and its line in
``policies/families.py``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from robot.contract import Contract
from robot.errors import UnknownName
from robot.packages import resolve

if TYPE_CHECKING:
    import torch
    from torch import nn

    from policies.data.batch import Batch

Observation = dict[str, "torch.Tensor"]
"""A batch of observations by name: cameras ``(B, history * C, H, W)`` uint8, proprioception ``(B,
history * n)`` float32.
"""


class Policy(Protocol):
    """From observations to chunks of actions, in the units of its contract."""

    contract: Contract  # its history, chunk and execute are this policy's own choice

    def act(self, observations: Observation, sample: bool) -> np.ndarray:
        """Actions ``(B, chunk, A)`` float32 in the contract's units:
        the best ones, or with ``sample`` random ones to explore.
        """
        ...

    def deployed(self) -> nn.Module:
        """The policy as one network, for ONNX.

        Its inputs are the contract's cameras, ``(history, H, W, C)`` uint8 each, then its proprioception, ``(history,
        n)`` float32 each, without a batch axis; its output is ``(chunk, A)`` float32 in the contract's units.
        """
        ...

    def state_dict(self) -> dict[str, Any]:
        """All that acting needs, as flat named tensors."""
        ...

    def load_state_dict(self, state: Any, /) -> Any: ...


class FittedPolicy(Policy, Protocol):
    """A policy that learns from demonstrations alone; also an ``nn.Module``.

    It may have six more methods: ``rows(episodes)``, the dataset whose batches ``loss`` takes, by default
    ``policies.data.windows.Windows``; ``measure(rows)``, which takes the statistics of what inputs and outputs are
    scaled by, once before the first update; ``widen(rows)``, which after pretraining scales by new rows what stood
    still before; ``look_up(rows)``, of a policy that demonstrations are a part of; ``retrieve(rows, prior)``, of one
    that also learns from some of the rows that its skills were learned from (``prior``; None of a policy without
    skills), which returns the dataset to fit it to instead; and ``begin(made, updates)``, of one that learns in phases,
    which hears before each update how many of how many were made. Weights that are in no phase's loss stay as they are
    in it.
    """

    def loss(self, batch: Batch) -> dict[str, torch.Tensor]:
        """Scalars to log for windows of demonstrations; "loss" is minimised.

        ``batch.obs`` ends at the moment of acting, ``batch.actions`` ``(B, chunk, A)`` begins there, and
        ``batch.valid`` ``(B, chunk)`` is False after an episode's end.
        """
        ...


class Agent(Protocol):
    """A policy that learns online, as those who gather its experience know it."""

    updates: int  # made so far; scheduled exploration depends on them

    @property
    def policy(self) -> Policy:
        """What is kept and deployed."""
        ...

    @property
    def learning(self) -> Policy:
        """What explores; its weights may be ahead of those of ``policy``."""
        ...

    def act(self, observations: Observation, sample: bool) -> np.ndarray:
        """As ``Policy.act``; with ``sample``, of ``learning``."""
        ...

    def acting_tensors(self) -> dict[str, Any]:
        """The live tensors that ``act`` with ``sample`` reads, by name: what another process needs to act alike."""
        ...


@dataclass(frozen=True)
class Family:
    """A kind of policy.

    Args:
        config: dataclass of the options under ``algo``; its fields ``family``, ``history``, ``chunk`` and ``execute``
            name this family, the observations that the policy sees, the actions that it returns at a time, and how many
            of them are carried out before it is asked again. The last two may be left out, and are then 1.
        policy: ``(contract, config, seed)`` to a new policy, to fit or to load weights into. The contract has the
            policy's history, chunk and execute.
        agent: ``(contract, config, fabric, seed, compile)`` to a new agent; None of policies that are fitted to
            demonstrations.

    Each is the thing itself, or "module:name" of it, which is then imported only when it is needed.
    """

    config: type | str
    policy: Callable[..., Policy] | str
    agent: Callable[..., Any] | str | None = None

    def options(self) -> Any:
        """The dataclass of the options under ``algo``."""
        return resolve(self.config)

    def read_options(self, data: dict[str, Any]) -> Any:
        """Options as a run's files hold them, as ``options``."""
        from omegaconf import OmegaConf

        return OmegaConf.to_object(OmegaConf.merge(OmegaConf.structured(self.options()), data))

    def make_policy(self, contract: Contract, cfg: Any, seed: int) -> Policy:
        """A new policy; ``contract`` is the environment's or the policy's."""
        return resolve(self.policy)(as_seen(contract, cfg), cfg, seed)

    def make_agent(self, contract: Contract, cfg: Any, fabric: Any, seed: int, compile: str = "off") -> Any:
        """A new agent; ``contract`` is the environment's or the policy's."""
        assert self.agent is not None, "this family is fitted to demonstrations"
        return resolve(self.agent)(as_seen(contract, cfg), cfg, fabric, seed, compile)


def as_seen(contract: Contract, cfg: Any) -> Contract:
    """A contract as the policy of these options reads it."""
    return contract.for_policy(cfg.history, getattr(cfg, "chunk", 1), getattr(cfg, "execute", 1))


POLICIES: dict[str, Family] = {}  # filled by policies.families; outsiders may add their own


def family_of(algo: Any) -> Family:
    """The family that a configuration's ``algo`` names."""
    name = algo.get("family") if isinstance(algo, dict) else getattr(algo, "family", None)
    if name not in POLICIES:
        raise UnknownName("family of policies (algo.family)", str(name), POLICIES)
    return POLICIES[str(name)]

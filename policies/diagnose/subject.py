"""The run to be examined: its configuration, contract, environment, policy, and its agent at several steps."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

from policies.config import TrainConfig
from policies.policy import Policy, family_of
from policies.rl.pixel_agent import PixelAgent
from policies.rollout.acting import load_policy
from policies.runs import checkpoint, snapshots
from policies.runs.find import read_source
from robot.contract import Contract
from robot.errors import PixelarmError
from sim.envs.make import DMC, make_env
from sim.envs.task_env import TaskEnv


@dataclass(frozen=True)
class Subject:
    """A run folder and what it says of itself."""

    folder: Path
    cfg: TrainConfig
    contract: Contract  # of its policy
    networks: dict[int, Path]  # by step, see ``policies.runs.snapshots``

    @property
    def learns_online(self) -> bool:
        """Whether its family has an agent, with critics; others are fitted to demonstrations."""
        return family_of(self.cfg.algo).agent is not None

    def make_env(self) -> TaskEnv:
        """Its task without randomisation and with the full time limit, where a success lasts as long as in training."""
        task = replace(self.cfg.task, name=self.contract.task, randomise=[], time_limit=0)
        env = make_env(task)
        assert isinstance(env, TaskEnv)
        env.contract.require_equal(self.contract.recorded(), here=f"task {self.contract.task}", there=str(self.folder))
        return env

    def policy(self) -> tuple[Policy, str]:
        """The policy that `pixelarm eval` plays, or that of the newest networks; and in words which it is."""
        if (self.folder / "policy" / "policy.json").exists():
            step = checkpoint.read_json(self.folder / "policy" / "policy.json").get("step", "?")
            return load_policy(self.folder / "policy")[0], f"the best validated one, of step {step}"
        last = None
        for step, agent in self.agents(newest_only=True):
            last = agent.policy, f"the newest one, of step {step}: none has been validated yet"
        if last is None:
            raise PixelarmError(
                f"{self.folder} has saved neither a policy nor a checkpoint yet: wait for its first one, or train it"
            )
        return last

    def agents(self, newest_only: bool = False) -> Iterator[tuple[int, PixelAgent]]:
        """The run's agent after so many steps, on a CPU. It is one agent, which takes the networks of each in turn."""
        if not self.learns_online or not self.networks:
            return
        from lightning.fabric import Fabric

        fabric = Fabric(accelerator="cpu", devices=1, precision="32-true")
        agent = family_of(self.cfg.algo).make_agent(self.contract, self.cfg.algo, fabric, self.cfg.seed, "off")
        for step in [max(self.networks)] if newest_only else self.networks:
            file = self.networks[step]
            with checkpoint.reading(file.parent, "remove it, and the others are used"):
                agent.load_networks(checkpoint.load_tensors(file))
            yield step, agent


def subject_of(folder: Path) -> Subject:
    """The run in a folder.

    Raises:
        PixelarmError: there is none, or none that can be diagnosed; and what to give instead.
    """
    import policies.families  # noqa: F401

    if not folder.exists():
        raise PixelarmError(f"{folder} does not exist; give a run folder of `pixelarm train`")
    source = read_source(folder)
    if source is None or source.kind != "run":
        what = {"bundle": "a policy bundle", "policy": "one policy of a run"}.get(source.kind if source else "", "")
        raise PixelarmError(
            f"{folder} is {what or 'no run of `pixelarm train`'}; a diagnosis needs a whole run folder, with its "
            "config.yaml, metrics.jsonl and policies"
        )
    if source.task.startswith(DMC) or str(source.config["task"].get("name")).startswith(DMC):
        raise PixelarmError(
            f"{folder} learned {source.task}: DeepMind Control's tasks have a return and neither a success nor an "
            "object to follow, which a diagnosis tells failures by. `pixelarm compare` draws its learning curve"
        )
    if source.contract is None:
        raise PixelarmError(f"{folder} has saved no policy yet: wait for its first one")
    return Subject(folder, checkpoint.config_from_dict(source.config), source.contract, snapshots.kept(folder))

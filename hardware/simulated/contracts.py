"""What an arm of some kind observes and does in a task: the simulator knows."""

from __future__ import annotations

from robot.contract import Contract
from robot.packages import require_ours


def contract_of(task: str, arm: str) -> Contract:
    """The contract of a task for an arm of ``sim.arms.ARMS``.

    Raises:
        UnknownName: there is no such task.
        MissingDependency: what the simulator needs is not installed.
    """
    require_ours("sim")
    from sim.envs.config import TaskConfig
    from sim.envs.make import check_task, configured_task

    check_task(task)
    return configured_task(TaskConfig(task, arm=arm)).contract

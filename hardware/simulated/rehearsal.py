"""A simulated SO-101 behind an emulated bus, in this process, with its cameras: what a session is rehearsed with."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from hardware.direct.cameras import Heard, Lost
from hardware.feetech.emulated.bus import EmulatedBus
from hardware.feetech.settings import Settings
from hardware.simulated.arm import ArmState, SimArm
from hardware.simulated.episodes import Episodes
from hardware.simulated.world_body import WorldBody
from robot.contract import Contract
from robot.profile import ArmProfile


class Rehearsal:
    """The scene that a bundle was made for, in real time. ``path`` is the port to open, ``cameras`` what to look with.

    Args:
        seeds: of the scenes, one after another, each an episode; they begin with the first command. None: no episodes,
            and ``arm.reset`` sets up the next scene.
        on_event: hears ``reset``, ``start``, ``end`` and ``done`` of ``hardware.simulated.episodes``.
    """

    def __init__(
        self,
        contract: Contract,
        arm: ArmProfile,
        settings: Settings,
        seeds: list[int],
        on_event: Callable[[dict[str, Any]], None],
    ) -> None:
        from sim.envs.config import TaskConfig
        from sim.envs.make import check_task, configured_task
        from sim.envs.task_world import build_world

        check_task(contract.task)
        size = contract.cameras[0].height if contract.cameras else TaskConfig.image_size
        task = configured_task(TaskConfig(contract.task, size, arm=arm.arm))
        arm.require_contract(task.contract)
        world = build_world(task, fits={name: source.fit for name, source in arm.cameras.items()})
        world.joints_at_once = True
        self.cameras = {camera.name: SimCamera() for camera in contract.cameras}
        self._on_event = on_event
        episodes = Episodes(seeds, contract.period_s, task.max_steps) if seeds else None
        self.arm = SimArm(world, task, self, episodes=episodes)
        self.bus = EmulatedBus(settings, latency_s=0.001, body=WorldBody(self.arm, settings))
        self.arm.start()

    @property
    def path(self) -> str:
        return self.bus.path

    def on_state(self, state: ArmState, exposed: bool) -> None:
        """The bus says what the arm measures."""

    def on_image(self, camera: str, pixels: np.ndarray, stamp_ns: int) -> None:
        self.cameras[camera].show(pixels, stamp_ns)

    def on_episode(self, event: dict[str, Any]) -> None:
        self._on_event(event)

    def rest(self) -> None:
        """What somebody does who sets up the next scene, and the minutes that it takes: servos cool, and one that has
        protected itself is switched off and on. Not from ``on_event``, whose thread owns the arm that the bus waits
        for."""
        with self.bus.lock:
            for servo in self.bus.servos.values():
                servo.rest()

    def close(self) -> None:
        """Raises what a thread of the simulation died of."""
        self.arm.stop()
        self.bus.close()
        self.arm.world.close()
        if self.arm.failure is not None:
            raise self.arm.failure


class SimCamera:
    """A ``Camera`` of a ``Rehearsal``."""

    def __init__(self) -> None:
        self._heard: Heard | None = None

    def start(self, heard: Heard, lost: Lost) -> None:
        self._heard = heard

    def stop(self) -> None:
        self._heard = None

    def show(self, pixels: np.ndarray, stamp_ns: int) -> None:
        if (heard := self._heard) is not None:
            heard(pixels, stamp_ns)

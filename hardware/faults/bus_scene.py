"""A policy on a simulated SO-101 behind an emulated bus, in this process, and everything that can be done to them.

It is what ``pixelarm so101 run --simulated`` plays; ``hardware.commands.fault_run`` asks of it what it asks of nodes.
"""

from __future__ import annotations

import re
import threading
import time
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from hardware.direct.session import Options, Session
from hardware.faults.processes import Load
from hardware.faults.waiting import Waiting
from hardware.feetech.arm import Arm
from hardware.feetech.settings import SIMULATED, Settings
from hardware.simulated.arm import ArmState
from hardware.simulated.misbehave import Misbehaviour
from hardware.simulated.rehearsal import Rehearsal
from robot import bundle
from robot.arbiter.modes import POLICY
from robot.errors import PixelarmError
from robot.profile import ArmProfile

EVENT = re.compile(r"(policy|arbiter): (?:(\w+): )?")
LOOK_S = 0.01  # between two looks at the arbiter
REST_S = 0.3  # after a new scene, until commands count again


class Stage(Rehearsal):
    """A scene whose cameras fail on order, and whose tip is written down."""

    def __init__(self, *given: Any) -> None:
        self.tip: list[tuple[float, float, float, float]] = []  # stamp (s), x, y, z
        self.sensors, self._noise = Misbehaviour(), np.random.default_rng(0)
        super().__init__(*given)

    def on_state(self, state: ArmState, exposed: bool) -> None:
        x, y, z = map(float, state.position)
        self.tip.append((state.stamp_ns * 1e-9, x, y, z))

    def on_image(self, camera: str, pixels: np.ndarray, stamp_ns: int) -> None:
        # without noise a picture that stays the same would be no sign of a frozen camera
        noisy = np.clip(pixels + self._noise.integers(-1, 2, pixels.shape), 0, 255).astype(np.uint8)
        shown = self.sensors.image(camera, noisy, stamp_ns)
        if shown is not None:
            super().on_image(camera, *shown)


class BusScene(Waiting):
    """See the module text; the acts are those of ``hardware.faults.bus_matrix.BusScene``. Close it at the end."""

    def __init__(self, path: Path, arm: ArmProfile, timeout_s: float) -> None:
        self.profile, self._timeout_s, self._settings = arm, timeout_s, Settings.load(SIMULATED)
        self._policy, self._late_s = bundle.load(path), 0.0
        self.contract = self._policy.contract
        self.rules: list[tuple[float, str, str]] = []  # when, who (policy, arbiter: what was said; status), which
        self.lines: list[str] = []
        self._held: bool | None = True  # the enable button; None: its device is dead
        self._load, self._running = Load(), True
        self.stage = Stage(self.contract, arm, self._settings, [], lambda event: None)
        try:
            self._connect()
        except BaseException:
            self.stage.close()
            raise
        self._thread = threading.Thread(target=self._watch, name="watch", daemon=True)
        self._thread.start()

    def _connect(self) -> None:
        self.body = Arm.connect(self.stage.path, None, self._settings, False, timeout_s=self._timeout_s)
        options = Options(True, True, jumps=True)
        self.session = Session(self, self.profile, self.body, self.stage.cameras, options, self._said)
        self.session.start()

    def act(self, observation: dict[str, np.ndarray]) -> np.ndarray:
        """The policy's, which may take longer."""
        time.sleep(self._late_s)
        return self._policy.act(observation)

    def _said(self, line: str) -> None:
        self.lines.append(line)
        if (found := EVENT.match(line)) is not None:
            self.rules.append((time.monotonic(), found[1], found[2] or "running"))

    def _watch(self) -> None:
        """Press the button, and hear the arbiter's rule and the session's end, as a node would by its status."""
        before = ""
        while self._running:
            time.sleep(LOOK_S)
            session, held = self.session, self._held
            if held is not None:
                session.put_enable(held)
            rule = "unplugged" if session.failure else session.arbiter.rule
            if rule and rule != before:
                self.rules.append((time.monotonic(), "status", rule))
            before = rule
            if session.failure:
                self.stage.bus.advance()  # servos go on to their goals, though nobody speaks to them

    # --------------------------------------------------------------------------------------------------------- acts
    def misbehave(self, **what: str) -> None:
        self.stage.sensors.order(what)

    def answers(self, **shares: float) -> None:
        for name, share in shares.items():
            setattr(self.stage.bus.faults, name, share)

    def servo(self, name: str, **what: float) -> None:
        with self.stage.bus.lock:
            for field, value in what.items():
                setattr(self.stage.bus.servos[name], field, value)

    def restart_servo(self, name: str) -> None:
        with self.stage.bus.lock:
            self.stage.bus.servos[name].power_cycle()

    def power(self, on: bool) -> None:
        self.stage.bus.power(on)

    def unplug(self) -> None:
        self.stage.bus.unplug()

    def late(self, seconds: float) -> None:
        self._late_s = seconds

    def button(self, held: bool | None) -> None:
        self._held = held

    def busy(self, loops: int) -> None:
        self._load.run(loops)

    # ------------------------------------------------------------------------------------------------------- course
    @property
    def tip(self) -> list[tuple[float, float, float, float]]:
        return self.stage.tip

    @property
    def status(self) -> dict[str, Any]:
        return self.session.arbiter.status()

    def use_worker(self, on: bool) -> None:
        """The policy shares this process, always."""

    def restart(self, name: str) -> None:
        """Plug the cable in, and start the session anew."""
        self.session.stop()
        self.body.close()
        self.stage.bus.replug()
        self._connect()

    def call(self, service: str) -> tuple[bool, str]:
        """What the services of the nodes are for."""
        if service == "sim_arm/reset":
            self.stage.arm.reset()
            self.stage.rest()
            time.sleep(REST_S)
            return True, ""
        if service == "arbiter/stop":
            self.session.arbiter.stop()
            return True, ""
        refusal = self.session.recover() if service == "arbiter/clear" else self.session.arbiter.drive(POLICY)
        return not refusal, refusal

    def clear_policy(self) -> tuple[bool, str]:
        refusal = self.session.loop.clear()
        return not refusal, refusal

    def trouble(self) -> str:
        """Why the policy could not have command now, in words; empty: each stream is fresh."""
        session = self.session
        if session.failure:
            return f"the session has ended: {session.failure}"
        if self.body.faulted:
            return str(self.body.fault)
        age_s = self.status["state_age_s"]
        if age_s is None or age_s > self.profile.arbiter.state_age_s:
            return f"the newest state of the arm is {'-' if age_s is None else age_s} s old"
        if session.loop.state == "latched":
            return f"latched ({session.loop.rule}): clear its hold"
        found = session.loop.bars.but("not_in_command") or session.loop.mailbox.trouble
        return "" if found is None else found.words

    def naps(self) -> list[float]:
        return []

    def speed(self) -> float:
        """m/s of the tip over the last tenth of a second."""
        now = [row for row in self.tip[-20:] if row[0] > self.ros_s() - 0.15]
        if len(now) < 2:
            return 0.0
        way = np.linalg.norm(np.subtract(now[-1][1:], now[0][1:]))
        return float(way / max(now[-1][0] - now[0][0], 1e-3))

    def ros_s(self) -> float:
        """The clock of stamps, s."""
        return time.time()

    def tail(self) -> str:
        return " | ".join(self.lines[-4:])

    def close(self) -> None:
        self.busy(0)
        self._running = False
        self._thread.join(timeout=2.0)
        self.session.stop()
        with suppress(PixelarmError):
            self.body.close()
        self.stage.close()

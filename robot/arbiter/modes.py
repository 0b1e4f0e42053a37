"""Who has command of a robot, and why it may be held: names and words."""

from __future__ import annotations

IDLE, POLICY, TELEOP, INTERVENE, RESET, FAULT = "idle", "policy", "teleop", "intervene", "reset", "fault"
MODES: dict[str, str] = {
    "idle": "nobody commands: the last target is held, and before the first one nothing is published",
    "policy": "a policy commands",
    "teleop": "an operator commands while the deadman of the device is held",
    "intervene": "an operator has taken over from a policy, and hands back by letting the deadman go",
    "reset": "the arm moves to its start",
    "fault": "latched: held until the cause is gone and somebody clears it",
}
COMMANDED_BY = {POLICY: POLICY, TELEOP: TELEOP, INTERVENE: TELEOP}  # mode -> source

# Rules of the arbiter itself; those of the limits (``robot.control.rules``) hold the arm too.
RULES: dict[str, str] = {
    "idle": "nobody commands",
    "state_missing": "the arm has not said where it is yet",
    "stale_state": "what the arm measures is older than state_age_s",
    "state_lost": "what the arm measures is older than state_lost_s: a fault",
    "state_jump": "the arm says that it is somewhere else from one message to the next: a fault",
    "waiting": "whoever was given command has not sent a target since",
    "source_holds": "whoever has command holds the arm by a rule of its own",
    "silent": "whoever has command is silent for longer than silence_s",
    "command_lost": "whoever had command stayed silent: command is nobody's",
    "released": "the operator let the deadman go, or the device is silent",
    "estop": "the emergency stop was pressed: a fault",
    "second_publisher": "somebody else publishes where only the arbiter may: a fault",
    "driver": "the driver says that it does not follow commands: a fault",
    "not_followed": "the arm stands far from its target: targets begin anew where it is; five times is a fault",
    "arrived": "the arm stands at its start",
    "not_arrived": "the arm did not reach its start in time",
    "malformed": "a target of another kind or size than the arm takes was dropped",
    "clock_domain": "a target with a stamp of the future was dropped: two clocks that differ",
    "out_of_order": "a target older than one already received was dropped",
    "tick_overrun": "the arbiter itself fell behind and skipped ticks",
}

"""The rules that hold an arm instead of moving it: what each is called, and what it says."""

from __future__ import annotations

from dataclasses import dataclass

RULES: dict[str, str] = {
    "missing_stream": "a camera or proprioceptive stream has not sent anything yet",
    "wrong_shape": "a stream sent an array of the wrong size or type",
    "dark_picture": "a camera shows nothing at all",
    "frozen_picture": "a camera sends one picture again and again while the arm moves",
    "clock_domain": "a stamp lies in the future or over a second back: two clocks that differ",
    "stale_observation": "the newest observation is older than the contract's max_age_ms",
    "skew": "streams of one observation are further apart than one control period",
    "out_of_order": "a message not newer than one already received was dropped",
    "repeated_observation": "nothing new came since the last tick",
    "deadline_missed": "no command within deadline_ms of the observation's stamp",
    "too_slow": "20 of the last 60 deadlines were missed (LoopConfig.max_misses); latches",
    "late_result": "an inference that finished after its deadline was dropped",
    "chunk_exhausted": "no action of a chunk is for this moment: it ended before the next one came, or none came yet",
    "inference_error": "the policy raised an exception or returned a wrong shape; repeated ones latch",
    "not_finite": "the policy returned nan or infinity",
    "enable": "the deadman is released or silent",
    "estop": "the emergency stop is set or not yet cleared",
    "operator_hold": "an operator asked for a hold",
    "arm_contract": "the arm has not said its contract yet, or it is another than the policy's",
    "not_in_command": "the arbiter has given command to nobody, or to somebody else, or is silent",
    "arbiter_holds": "of a replay: the arbiter holds the arm, and the episode waits",
    "length": "a command of the wrong length",
    "box": "the arm stands outside its workspace",
    "joint_range": "a joint of the arm stands outside its limits",
    "height": "the arm stands lower than it may",
    "carried_away": "the arm is far from its last target: the motion ends, and a new one begins where the arm is",
    "unreachable": "inverse kinematics find no joints for the pose, or would have to pass a singularity",
    "expiry": "a command came too late to be right",
    "tick_overrun": "the loop itself fell behind and skipped ticks",
}

# After a hold by one of these the arm may stand anywhere: actions that count from the last target begin at what is
# measured, whatever other rules held it since. So they do after what latched, and after any hold that lasted for
# LoopConfig.slow_stop_after_s.
LATCH_ANEW = (
    "enable", "estop", "operator_hold", "arm_contract", "not_in_command", "box", "joint_range", "height",
    "carried_away",
)  # fmt: skip


@dataclass(frozen=True)
class Stop:
    """A refusal to command something new: the loop holds the arm."""

    rule: str  # one of RULES
    words: str


class Bars:
    """Rules that hold an arm until they are lifted, whatever sensors and policy say; any thread may set them."""

    def __init__(self) -> None:
        self._stops: dict[str, Stop] = {}

    def put(self, rule: str, words: str) -> None:
        """Hold by ``rule``; with empty words, no longer."""
        others = {name: stop for name, stop in self._stops.items() if name != rule}
        self._stops = {**others, rule: Stop(rule, words)} if words else others

    @property
    def first(self) -> Stop | None:
        return next(iter(self._stops.values()), None)

    def but(self, rule: str) -> Stop | None:
        """The first other than this one."""
        return next((stop for name, stop in self._stops.items() if name != rule), None)

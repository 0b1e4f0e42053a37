"""How a driver behaves, as its documentation or its source says: what its simulator (``pixelarm sim-arm``) does too."""

from __future__ import annotations

from dataclasses import dataclass

from robot.errors import PixelarmError
from robot.profile.reading import one_of

HOLDS, HALTS, CONTINUES = "holds", "halts", "continues"
SILENCE = {
    HOLDS: "the last target is held, for ever",
    HALTS: "the arm is brought to a halt where it is",
    CONTINUES: "the last command goes on: a velocity never ends",
}
FOLLOWED, IGNORED, REFLEX = "followed", "ignored", "reflex"
TOO_FAR = {
    FOLLOWED: "an immediate step is followed, however violent",
    IGNORED: "the command is not followed until commands are near the arm again",
    REFLEX: "the driver stops the arm and follows nothing until it was recovered",
}
OLD_TARGET, MEASURED = "old_target", "measured"


@dataclass(frozen=True)
class Driver:
    """One driver's behaviour. ``source`` says where it was read; what nobody could verify belongs in ``unverified``."""

    source: str
    unverified: tuple[str, ...] = ()  # of the profile's facts, those that need a look at the real driver
    state_hz: float = 50.0  # of joint states
    on_silence: str = HOLDS  # one of SILENCE
    silence_s: float = 0.0  # after which that happens
    too_far: str = FOLLOWED  # one of TOO_FAR
    step_rad: float | None = None  # furthest that a joint may be told to move at once; of arms told joint positions
    step_m: float | None = None  # and the tip, of arms told poses
    single_publisher: bool = False  # with a second publisher on the command topic, commands of both are ignored
    shuffled: bool = False  # joint states come in another order than commands go
    resumes: str = MEASURED  # after a stop and recovery: it goes on to its old_target, or stays where it is measured
    recovery: tuple[str, ...] = ()  # what a person does after a stop, in order
    # 1/s^2: how hard the driver closes an error of position. 150 is the controller that policies were trained with
    gain: float = 150.0

    def __post_init__(self) -> None:
        one_of("driver on_silence", self.on_silence, tuple(SILENCE))
        one_of("driver too_far", self.too_far, tuple(TOO_FAR))
        one_of("driver resumes", self.resumes, (OLD_TARGET, MEASURED))
        if not 0.5 <= self.state_hz <= 1000.0 or not 10.0 <= self.gain <= 10_000.0:
            raise PixelarmError(
                f"driver: state_hz must be 0.5 to 1000 and gain 10 to 10000, got {self.state_hz} and {self.gain}"
            )
        if self.too_far != FOLLOWED and self.step_rad is None and self.step_m is None:
            raise PixelarmError(f"driver: too_far is {self.too_far}, say with step_rad or step_m what that is")
        if self.on_silence != HOLDS and not self.silence_s > 0.0:
            raise PixelarmError(f"driver: on_silence is {self.on_silence}: say after how many seconds with silence_s")

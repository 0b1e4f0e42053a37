"""Each safety rule fires, and together they hold their promises for random input."""

from __future__ import annotations

import numpy as np
import pytest

from robot.control.limits import Command, Context, LimitConfig, Limits, Stop, default_limits
from robot.errors import PixelarmError

WIDE = LimitConfig(
    max_reach_m=0.07,
    max_speed_m_s=1.0,
    speed_scale=1.0,
    box_low=(0.2, -0.4, 0.0),
    box_high=(0.8, 0.4, 0.6),
    expiry_s=0.5,
)
HERE = np.array([0.5, 0.0, 0.3])


def limits(config: LimitConfig = WIDE) -> Limits:
    return default_limits(config, period_s=0.1)


def ask(chain: Limits, offset: tuple[float, ...], gripper: float = 0.0, **context: object) -> Command | Stop:
    """Ask for a target ``offset`` metres from the measured position HERE."""
    settings = {"measured": HERE, "now_ns": 0, **context}
    return chain.apply(Command(0, settings["measured"] + np.asarray(offset), gripper), Context(**settings))  # type: ignore[arg-type]


def test_a_harmless_command_passes_untouched() -> None:
    chain = limits()
    command = Command(0, HERE + (0.03, 0.0, 0.0), -1.0)
    assert chain.apply(command, Context(measured=HERE)) is command
    assert set(chain.counts().values()) == {0}


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_finite_refuses(bad: float) -> None:
    chain = limits()
    for verdict in (
        ask(chain, (bad, 0, 0)),
        ask(chain, (0, 0, 0), gripper=bad),
        ask(chain, (0, 0, 0), measured=np.full(3, bad)),
    ):
        assert isinstance(verdict, Stop)
        assert verdict.rule == "finite"
    assert chain.counts()["finite"] == 3


def test_length_refuses() -> None:
    chain = limits()
    verdict = chain.apply(Command(0, np.zeros(2), 0.0), Context(measured=HERE))
    assert isinstance(verdict, Stop)
    assert verdict.rule == "length"


def test_enable_and_estop_refuse() -> None:
    chain = limits()
    released, stopped = ask(chain, (0, 0, 0), enabled=False), ask(chain, (0, 0, 0), estopped=True)
    assert isinstance(released, Stop) and released.rule == "enable"
    assert isinstance(stopped, Stop) and stopped.rule == "estop"
    assert chain.counts()["enable"] == chain.counts()["estop"] == 1


def test_gripper_is_clipped() -> None:
    chain = limits()
    verdict = ask(chain, (0, 0, 0), gripper=1.7)
    assert isinstance(verdict, Command)
    assert verdict.gripper == 1.0
    assert chain.counts()["gripper_range"] == 1


def test_reach_keeps_the_direction() -> None:
    chain = limits()
    verdict = ask(chain, (0.3, 0.4, 0.0))  # length 0.5, so 0.07 / 0.5 = 0.14 of it remains
    assert isinstance(verdict, Command)
    np.testing.assert_allclose(verdict.position, HERE + (0.042, 0.056, 0.0))
    assert chain.counts()["reach"] == 1


def test_speed_counts_from_the_last_target() -> None:
    chain = limits(LimitConfig(**{**WIDE.__dict__, "max_speed_m_s": 0.25}))
    verdict = ask(chain, (0.05, 0.0, 0.0), previous=HERE)
    assert isinstance(verdict, Command)
    np.testing.assert_allclose(verdict.position, HERE + (0.025, 0.0, 0.0))  # 0.25 m/s * 0.1 s
    verdict = ask(chain, (0.05, 0.0, 0.0), previous=HERE + (0.04, 0.0, 0.0))
    assert isinstance(verdict, Command)
    np.testing.assert_allclose(verdict.position, HERE + (0.05, 0.0, 0.0))
    assert chain.counts()["speed"] == 1


def test_an_arm_that_was_carried_away_is_followed_at_once() -> None:
    """After a reset or a push the last target may be far: it is brought within reach, then the limit counts."""
    chain = limits(LimitConfig(**{**WIDE.__dict__, "max_speed_m_s": 0.25}))
    verdict = ask(chain, (0.0, 0.0, 0.0), previous=HERE + (0.3, 0.0, 0.0))
    assert isinstance(verdict, Command)
    np.testing.assert_allclose(verdict.position, HERE + (0.07 - 0.025, 0.0, 0.0))


def test_speed_scale_shortens_motion() -> None:
    chain = limits(LimitConfig(**{**WIDE.__dict__, "speed_scale": 0.25}))
    verdict = ask(chain, (0.04, 0.0, 0.0))
    assert isinstance(verdict, Command)
    np.testing.assert_allclose(verdict.position, HERE + (0.01, 0.0, 0.0))


def test_box_clips_targets_and_refuses_an_arm_far_outside() -> None:
    chain = limits()
    low = np.array([0.5, 0.0, 0.02])
    verdict = ask(chain, (0.0, 0.0, -0.04), measured=low)
    assert isinstance(verdict, Command)
    np.testing.assert_allclose(verdict.position, (0.5, 0.0, 0.0))
    outside = ask(chain, (0.0, 0.0, 0.0), measured=np.array([0.5, 0.0, -0.1]))
    assert isinstance(outside, Stop) and outside.rule == "box"
    assert "bring it back" in outside.words
    assert chain.counts()["box"] == 2


def test_an_expired_command_is_refused() -> None:
    chain = limits()
    assert isinstance(ask(chain, (0, 0, 0), now_ns=500_000_000), Command)
    verdict = ask(chain, (0, 0, 0), now_ns=501_000_000)
    assert isinstance(verdict, Stop)
    assert verdict.rule == "expiry"


@pytest.mark.parametrize(
    "bad", [{"speed_scale": 1.5}, {"speed_scale": 0.0}, {"max_reach_m": float("nan")}, {"expiry_s": -1.0}]
)
def test_senseless_limits_are_refused(bad: dict[str, float]) -> None:
    with pytest.raises(PixelarmError, match=next(iter(bad))):
        LimitConfig(**bad)  # type: ignore[arg-type]


@pytest.mark.parametrize("seed", range(5))
def test_no_random_input_breaks_the_promises(seed: int) -> None:
    """The three guarantees in the module text, over a random walk with wild requests, pushes and jumps."""
    rng = np.random.default_rng(seed)
    config = LimitConfig(
        **{**WIDE.__dict__, "max_speed_m_s": float(rng.uniform(0.1, 1.5)), "speed_scale": float(rng.uniform(0.1, 1))}
    )
    chain, eps = limits(config), 1e-9
    low, high = np.asarray(config.box_low), np.asarray(config.box_high)
    measured, previous, passed = HERE.copy(), None, 0
    for _ in range(2000):
        wild = 10 ** rng.uniform(-3, 3)
        request = measured + rng.normal(0, wild, 3)
        if rng.random() < 0.02:
            request[rng.integers(3)] = rng.choice([np.nan, np.inf, -np.inf])
        verdict = chain.apply(
            Command(0, request, float(rng.normal(0, 2))), Context(measured=measured, previous=previous)
        )
        if isinstance(verdict, Command):
            passed += 1
            target = verdict.position
            outside = np.linalg.norm(measured - np.clip(measured, low, high))
            assert np.isfinite(target).all()
            assert np.all(target >= low - eps) and np.all(target <= high + eps)
            assert outside <= config.max_reach_m
            assert np.linalg.norm(target - measured) <= config.max_reach_m + outside + eps
            start = measured if previous is None else previous
            away = max(0.0, float(np.linalg.norm(start - measured)) - config.max_reach_m)
            if previous is not None:
                assert np.linalg.norm(target - start) <= config.max_speed_m_s * 0.1 + away + eps
            assert -1.0 <= verdict.gripper <= 1.0
            previous = target
        if previous is not None:
            measured = measured + 0.5 * (previous - measured) + rng.normal(0, 0.01, 3)
        if rng.random() < 0.01:
            measured = rng.uniform(low - 0.1, high + 0.1)
    assert passed > 1000

"""The optimiser's rate, and the average of the weights, of fitted policies."""

from dataclasses import dataclass

import pytest
import torch
from torch import nn

from policies.imitation.checks import check_fitted
from policies.imitation.config import ChunkBcConfig, OptimiserConfig, optimiser_options
from policies.imitation.optimise import decay_at, follow, rate
from robot.errors import PixelarmError


def test_the_rate_rises_and_then_falls_along_a_cosine():
    options = OptimiserConfig(learning_rate=2.0, schedule="cosine", warmup_updates=4)
    assert rate(options, 0, 100) == pytest.approx(2.0 / 5)
    assert rate(options, 50, 100) == pytest.approx(1.0)
    assert rate(options, 100, 100) == pytest.approx(0.0)
    assert rate(OptimiserConfig(learning_rate=2.0), 7, 100) == 2.0


def test_the_average_forgets_its_random_start_sooner():
    assert decay_at(0.99, 1) == pytest.approx(2 / 11)
    assert decay_at(0.99, 100_000) == 0.99


def test_the_average_follows():
    mine, theirs = nn.Linear(1, 1, bias=False), nn.Linear(1, 1, bias=False)
    with torch.no_grad():
        mine.weight.fill_(1.0)
        theirs.weight.fill_(3.0)
    follow(mine, theirs, decay=0.75)
    assert float(mine.weight) == pytest.approx(0.75 * 1.0 + 0.25 * 3.0)


def test_a_family_of_ones_own_needs_none_of_these_options():
    @dataclass
    class Own:
        learning_rate: float = 0.5

    assert optimiser_options(Own()) == OptimiserConfig(learning_rate=0.5)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"execute": 9}, "algo.execute must be at most algo.chunk, which is 8, got 9"),
        ({"schedule": "step"}, "algo.schedule must be one of constant, cosine, got 'step'"),
        ({"ema_decay": 1.0}, "algo.ema_decay must be from 0 to below 1"),
        ({"two_valued": "sign"}, "algo.two_valued must be classify or regress"),
        ({"state_floor": 0.0}, "algo.state_floor must be more than 0"),
        ({"layers": 0}, "algo.layers must be at least 1"),
    ],
)
def test_options_that_cannot_be_are_refused(options, words):
    with pytest.raises(PixelarmError, match=words):
        check_fitted(ChunkBcConfig(**options))
    check_fitted(ChunkBcConfig())


def test_options_of_agents_alone_are_refused():
    cfg = ChunkBcConfig()
    cfg.encoder.target_rate = 0.05
    with pytest.raises(PixelarmError, match="algo.encoder.target_rate is for agents with critics"):
        check_fitted(cfg)

"""Every stack of convolutions: the sizes of its publication, what it cannot read, and what gradients reach."""

import math

import pytest
import torch
from conftest_networks import make, make_contract, observe
from torch import nn

from policies.config import EncoderConfig
from policies.networks.convs import CONVS, SpatialSoftmax, feature_size
from policies.networks.encoder import PixelEncoder
from policies.registry import parse
from policies.training.train import compose
from robot.errors import PixelarmError
from sim.demonstrations import SMALLEST_IMAGE

# name, its smallest image, and features of one picture of a known size, from the kernels k, strides s, paddings p:
# out = (n + 2p - k) // s + 1 going down, n = (out - 1) * s + k - 2p coming up from the least a last map may have
STACKS = [
    ("compact", 25, 64, 5 * 5 * 64),  # 64 -> 16 -> 7 -> 5; 1 -> 3 -> 7 -> 6 * 4 + 5 - 4
    ("tiny", 25, 64, 5 * 5 * 48),  # as compact, with other filters
    ("nature", 36, 84, 7 * 7 * 64),  # 84 -> 20 -> 9 -> 7 (DQN); 1 -> 3 -> 8 -> 7 * 4 + 8
    ("curl", 15, 84, 39_200),  # 84 -> 41 -> 39 -> 37 -> 35, 35 * 35 * 32 (CURL); 1 -> 3 -> 5 -> 7 -> 15
    ("atc", 31, 84, 1_568),  # 84 -> 41 -> 20 -> 9 -> 7, 7 * 7 * 32 (ATC); 1 -> 3 -> 7 -> 15 -> 31
    ("rlpd", 31, 64, 3 * 3 * 256),  # 64 -> 31 -> 15 -> 7 -> 3; 1 -> 3 -> 7 -> 15 -> 31
    ("resnet", 9, 64, 2 * 128),  # two coordinates a map; 2 -> 2 -> 2 -> 3 -> 5 -> 9
]


def test_every_stack_is_listed():
    assert sorted(name for name, *_ in STACKS) == sorted(CONVS)


@pytest.mark.parametrize("name, least, size, features", STACKS)
def test_features_are_those_of_the_publication(name, least, size, features):
    assert make(make_contract(history=3, size=size, cameras=1), convs=name).size == features


@pytest.mark.parametrize("name, least, size, features", STACKS)
def test_images_that_are_too_small_are_refused(name, least, size, features):
    encoder = make(make_contract(size=least), convs=name)
    assert encoder(encoder.stack(observe(make_contract(size=least), 2))).shape == (2, encoder.size)
    with pytest.raises(
        PixelarmError, match=f"'{name}' cannot read images of .*x{least - 1} .* is {least}x{least}: raise"
    ):
        PixelEncoder(make_contract(), EncoderConfig(convs=name), (least + 5, least - 1))


def test_a_stack_that_never_works_says_why_itself(monkeypatch):
    monkeypatch.setitem(CONVS, "broken", lambda channels: nn.Sequential(nn.Conv2d(channels + 1, 4, 3), nn.Flatten()))
    with pytest.raises(RuntimeError, match="channels"):
        make(make_contract(size=8), convs="broken")


@pytest.mark.parametrize("name", CONVS)
def test_gradients_reach_every_weight_and_rows_do_not_mix(name):
    contract = make_contract(size=40)
    encoder, observation = make(contract, convs=name), observe(contract, 3)
    features = encoder(encoder.stack(observation))
    features.square().sum().backward()
    assert all(p.grad is not None and p.grad.any() for p in encoder.parameters())
    alone = encoder(encoder.stack({key: value[1:2] for key, value in observation.items()}))
    torch.testing.assert_close(alone, features[1:2], rtol=1e-4, atol=1e-5)


def test_spatial_softmax_is_the_mean_position():
    # the softmax of log(p) is p: columns .2 .3 .5 at -1 0 1 are 0.3 across, rows .6 .4 at -1 1 are -0.2 down
    share = torch.tensor([[0.1, 0.2, 0.3], [0.1, 0.1, 0.2]])
    layer = SpatialSoftmax()
    torch.testing.assert_close(layer(share.log()[None, None]), torch.tensor([[0.3, -0.2]]))
    # at temperature 2 the same from its squares
    layer.log_temperature.data.fill_(math.log(2.0))
    torch.testing.assert_close(layer(share.square().log()[None, None]), torch.tensor([[0.3, -0.2]]))


def test_spatial_softmax_gives_all_maps_across_then_all_down():
    maps = torch.full((1, 2, 3, 3), -1e4)
    maps[0, 0, 0, 2] = maps[0, 1, 2, 1] = 0.0  # the first top right, the second bottom middle
    torch.testing.assert_close(SpatialSoftmax()(maps), torch.tensor([[1.0, 0.0, -1.0, 1.0]]))


def test_collect_records_no_picture_that_the_default_recipe_cannot_read():
    """By hand for its three layers: 25 pixels, 7 of them after 5x5 with stride 4 and a rim of 2, 3 after 3x3 with 2,
    1 after 3x3.
    """
    cfg = compose([])
    (name, _), *others = parse(cfg.algo.augmentation, "augmentation")
    assert (cfg.algo.encoder.convs, name, others) == ("compact", "shift", [])  # a shift keeps the size
    convs = CONVS["compact"](3)
    assert feature_size(convs, "compact", 3, (SMALLEST_IMAGE, SMALLEST_IMAGE)) == 64
    with pytest.raises(PixelarmError, match=f"the smallest they can is {SMALLEST_IMAGE}x{SMALLEST_IMAGE}"):
        feature_size(convs, "compact", 3, (SMALLEST_IMAGE - 1, SMALLEST_IMAGE - 1))

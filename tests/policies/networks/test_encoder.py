"""From observations to features: weights, cameras and history in each way, and what gradients reach."""

import io
import math
import warnings

import numpy as np
import onnxruntime
import pytest
import torch
from conftest_networks import make, make_contract, observe, small
from torch import nn

from policies.config import EncoderConfig
from policies.networks.convs import CONVS
from policies.networks.encoder import PixelEncoder, Trunk
from policies.networks.layers import INITS, mlp
from policies.networks.normalizers import ProprioNormalizer
from robot.contract import Camera, Contract
from robot.errors import PixelarmError, UnknownName

WAYS = [("stacked", "stack"), ("stacked", "flow"), ("separate", "stack"), ("separate", "flow")]


def pixels(*values: int) -> torch.Tensor:
    """One picture of one pixel, ``(1, C, 1, 1)``."""
    return torch.tensor(values, dtype=torch.uint8).view(1, -1, 1, 1)


@pytest.fixture
def toys(monkeypatch):
    """Stacks that can be followed by hand: the pixels themselves, and the pixels times one weight that starts at 2."""

    class Times(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight = nn.Parameter(torch.tensor(2.0))

        def forward(self, images):
            return self.weight * images

    monkeypatch.setitem(CONVS, "pixels", lambda channels: nn.Sequential(nn.Flatten()))
    monkeypatch.setitem(CONVS, "times", lambda channels: nn.Sequential(Times(), nn.Flatten()))


# ----------------------------------------------------------------------- weights
def test_the_default_starts_and_answers_as_written_out():
    contract = make_contract(size=64)
    torch.manual_seed(5)
    encoder = make(contract)
    trunk = Trunk(contract, encoder.size, small())
    torch.manual_seed(5)
    convs = nn.Sequential(
        nn.Conv2d(6, 32, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(32, 64, 3, stride=2), nn.ReLU(),
        nn.Conv2d(64, 64, 3), nn.ReLU(), nn.Flatten(),
    )  # fmt: skip
    image, state = nn.Linear(1600, 64), nn.Linear(4, 32)
    made = [*encoder.parameters(), *trunk.pixels[0].parameters(), *trunk.state[0].parameters()]
    written = [*convs.parameters(), *image.parameters(), *state.parameters()]
    assert all(torch.equal(a, b) for a, b in zip(made, written, strict=True))
    observation, proprio = observe(contract, 2), torch.randn(2, 4)
    images = torch.cat([observation["a"], observation["b"]], dim=1).float() * (1.0 / 255.0) - 0.5
    features = convs(images.contiguous(memory_format=torch.channels_last))
    assert torch.equal(encoder(encoder.stack(observation)), features)
    halves = [torch.tanh(torch.layer_norm(x, x.shape[1:])) for x in (image(features), state(proprio))]
    assert torch.equal(trunk(features, proprio), torch.cat(halves, dim=1))


def test_orthogonal_weights():
    encoder = make(make_contract(), convs="curl", init="orthogonal")
    trunk = Trunk(make_contract(), 100, small(init="orthogonal"))
    for conv in (m for m in encoder.modules() if isinstance(m, nn.Conv2d)):
        tap = conv.weight[:, :, 1, 1]  # (32, 6) or (32, 32): columns at right angles, of length sqrt(2)
        torch.testing.assert_close(tap.T @ tap, 2 * torch.eye(tap.shape[1]), rtol=0, atol=1e-5)
        assert conv.weight.count_nonzero() == tap.count_nonzero()
        assert not conv.bias.any()
    linear = trunk.pixels[0]
    torch.testing.assert_close(linear.weight @ linear.weight.T, torch.eye(64), rtol=0, atol=1e-5)
    assert not linear.bias.any()


@pytest.mark.parametrize("name", CONVS)
@pytest.mark.parametrize("init", INITS)
def test_every_stack_starts_in_every_way_and_again_from_a_seed(name, init):
    def features():
        torch.manual_seed(1)
        encoder = make(make_contract(size=40), convs=name, init=init)
        return encoder(encoder.stack(observe(make_contract(size=40), 2)))

    assert features().isfinite().all() and features().std() > 0
    assert torch.equal(features(), features())


def test_mlp_is_as_deep_and_normed_as_asked():
    def kinds(**options):
        return [type(m).__name__ for m in mlp(3, 8, 2, **options)]

    assert kinds() == ["Linear", "ReLU", "Linear", "ReLU", "Linear"]
    assert kinds(layers=1, layer_norm=True) == ["Linear", "LayerNorm", "ReLU", "Linear"]
    assert [(m.in_features, m.out_features) for m in mlp(3, 8, 2, layers=3) if isinstance(m, nn.Linear)] == [
        (3, 8), (8, 8), (8, 8), (8, 2),
    ]  # fmt: skip


# ------------------------------------------------------------------------- stack
def test_stack_scales_and_orders_channels_and_leaves_the_observation_alone():
    contract = make_contract(size=25)
    observation = observe(contract, 2)
    before = {name: value.clone() for name, value in observation.items()}
    stacked = make(contract).stack(observation)
    assert stacked.is_contiguous(memory_format=torch.channels_last) and stacked.dtype == torch.float32
    torch.testing.assert_close(stacked[:, 3:], observation["b"] / 255 - 0.5)
    images = {name: value.float() if value.ndim == 4 else value for name, value in observation.items()}
    torch.testing.assert_close(make(contract).stack(images), stacked)  # of an augmentation that gives floats
    assert all(torch.equal(observation[name], before[name]) for name in before)
    assert images["a"].max() > 1
    alone = make_contract(size=25, cameras=1)  # nothing to join: still not in the observation's own memory
    make(alone).stack(images)
    assert images["a"].max() > 1


@pytest.mark.parametrize("cameras", ["stacked", "separate"])
def test_images_of_another_size_or_history_are_refused(cameras):
    encoder = make(make_contract(history=2), cameras=cameras)
    observation = observe(make_contract(history=2), 1)
    with pytest.raises(PixelarmError, match=r"camera 'b' .* \(6, 32, 28\), this encoder reads \(6, 32, 32\): .* crop"):
        encoder.stack(observation | {"b": observation["b"][..., :28]})
    with pytest.raises(PixelarmError, match=r"camera 'a' .* \(3, 32, 32\), .* 2 frame"):
        encoder.stack(observation | {"a": observation["a"][:, :3]})


@pytest.mark.parametrize("option", ["convs", "cameras", "history", "init"])
def test_an_unknown_choice_names_those_there_are(option):
    known = {
        "convs": "atc, compact",
        "cameras": "separate, stacked",
        "history": "flow, stack",
        "init": "default, orthog",
    }
    with pytest.raises(UnknownName, match=f"algo.encoder.{option}.* 'best'; the valid names are: {known[option]}"):
        make(make_contract(history=2), **{option: "best"})


def test_flow_of_one_frame_and_no_camera_are_refused():
    with pytest.raises(PixelarmError, match="two frames or more .* algo.history is 1: set algo.history=3"):
        make(make_contract(history=1), history="flow")
    with pytest.raises(PixelarmError, match="at least one camera"):
        PixelEncoder(make_contract(cameras=0), EncoderConfig(), (64, 64))


# ------------------------------------------------------------- cameras and history
def test_flow_by_hand(toys):
    # pixels 0, 51, 255 are x = -0.5, -0.3, 0.5; times 2, z = -1.0, -0.6, 1.0; changes 0.4 and 1.6
    encoder = make(make_contract(history=3, size=1, cameras=1, channels=1), convs="times", history="flow")
    features = encoder(encoder.stack({"a": pixels(0, 51, 255)}))
    torch.testing.assert_close(features, torch.tensor([[-0.6, 1.0, 0.4, 1.6]]))
    # d/dw of w x1 + w x2 + (w x1 - const) + (w x2 - const) is 2 (x1 + x2) = 0.4; through the older frames it would be
    # 1.2
    features.sum().backward()
    torch.testing.assert_close(encoder.convs[0][0].weight.grad, torch.tensor(0.4))


def test_the_gradient_of_a_change_reaches_the_newer_frame_only(toys):
    encoder = make(make_contract(history=3, size=1, cameras=1, channels=1), convs="times", history="flow")
    stacked = encoder.stack({"a": pixels(0, 51, 255)}).requires_grad_()
    reached = torch.autograd.functional.jacobian(encoder, stacked).view(4, 3)
    expected = [[0, 2, 0], [0, 0, 2], [0, 2, 0], [0, 0, 2]]  # rows z1, z2, z1 - z0, z2 - z1; columns the frames
    torch.testing.assert_close(reached, torch.tensor(expected, dtype=torch.float32))


def test_the_gradient_of_flow_is_as_written_out():
    contract = make_contract(history=3, size=25, cameras=1)
    encoder = make(contract, history="flow")
    stacked = encoder.stack(observe(contract, 2))
    features = encoder(stacked)
    features.square().sum().backward()
    z0, z1, z2 = (encoder.convs[0](frame) for frame in stacked.chunk(3, dim=1))
    written = torch.cat([z1, z2, z1 - z0.detach(), z2 - z1.detach()], dim=1)
    torch.testing.assert_close(features, written)
    grads = torch.autograd.grad(written.square().sum(), list(encoder.parameters()))
    for parameter, grad in zip(encoder.parameters(), grads):
        torch.testing.assert_close(parameter.grad, grad, rtol=1e-4, atol=1e-4)


def test_flow_has_the_features_of_the_paper():
    # 3 frames of 108 pixels: 47 x 47 x 32 each, 2 of them and 2 changes: 128 channels (FLARE 5.1)
    assert make(make_contract(history=3, size=108, cameras=1), convs="curl", history="flow").size == 282_752


def test_cameras_and_history_by_hand(toys):
    # camera a shows 0 then 255, b 51 then 102: -0.5, 0.5 and -0.3, -0.1; changes 1.0 and 0.2
    contract = make_contract(history=2, size=1, channels=1)
    expected = {
        ("stacked", "stack"): [-0.5, 0.5, -0.3, -0.1],
        ("stacked", "flow"): [0.5, -0.1, 1.0, 0.2],  # one frame of both cameras, then the change of both
        ("separate", "stack"): [-0.5, 0.5, -0.3, -0.1],
        ("separate", "flow"): [0.5, 1.0, -0.1, 0.2],  # frame and change of a, then of b
    }
    for (cameras, history), values in expected.items():
        encoder = make(contract, convs="pixels", cameras=cameras, history=history)
        features = encoder(encoder.stack({"a": pixels(0, 255), "b": pixels(51, 102)}))
        torch.testing.assert_close(features, torch.tensor([values]))


def test_separate_cameras_share_nothing():
    contract = make_contract(size=25)
    encoder = make(contract, cameras="separate")
    assert not torch.equal(encoder.convs[0][0].weight, encoder.convs[1][0].weight)
    observation, half = observe(contract, 2), encoder.size // 2
    first = encoder(encoder.stack(observation))
    other = encoder(encoder.stack(observation | {"b": 255 - observation["b"]}))
    assert torch.equal(first[:, :half], other[:, :half])
    assert not torch.equal(first[:, half:], other[:, half:])
    first[:, half:].sum().backward()
    assert all(p.grad is None or not p.grad.any() for p in encoder.convs[0].parameters())
    assert all(p.grad.any() for p in encoder.convs[1].parameters())


@pytest.mark.parametrize("cameras, history", WAYS)
def test_cameras_may_have_different_channels(cameras, history):
    colour = make_contract(history=2, size=25)
    depth = Camera("depth", 25, 25, 1, encoding="mono8")
    contract = Contract(**{**vars(colour), "cameras": (*colour.cameras, depth)})
    encoder = make(contract, cameras=cameras, history=history)
    assert encoder(encoder.stack(observe(contract, 2))).shape == (2, encoder.size)


# ----------------------------------------------------------- trunk, proprioception
def test_trunk_with_and_without_tanh():
    contract = make_contract()
    with_tanh, without = (Trunk(contract, 10, small(tanh=tanh)) for tanh in (True, False))
    with_tanh.load_state_dict(without.state_dict())
    convolved, proprio = torch.randn(5, 10), torch.randn(5, 4)
    features = without(convolved, proprio)
    assert features.shape == (5, without.size) == (5, 96)
    torch.testing.assert_close(features[:, :64].mean(dim=1), torch.zeros(5), rtol=0, atol=1e-5)  # LayerNorm's
    torch.testing.assert_close(features[:, :64].var(dim=1, correction=0), torch.ones(5), rtol=0, atol=1e-2)
    torch.testing.assert_close(with_tanh(convolved, proprio), features.tanh())


def test_no_proprioception():
    contract = make_contract(proprio=0)
    trunk, normalizer = Trunk(contract, 10, small()), ProprioNormalizer(contract)
    proprio = normalizer(observe(contract, 3))
    assert proprio.shape == (3, 0)
    assert trunk(torch.randn(3, 10), proprio).shape == (3, trunk.size) == (3, 64)


def test_normalizer_by_hand():
    normalizer = ProprioNormalizer(make_contract(proprio=2))
    # means 2 and 7; deviations sqrt(((-1)^2 + 1^2) / (2 - 1)) = sqrt(2), and 0, held at 0.01
    normalizer.fit(torch.tensor([[1.0, 7.0], [3.0, 7.0]]))
    values = normalizer({"eef_pos": torch.tensor([[2.0 + math.sqrt(2.0), 7.02]])})
    torch.testing.assert_close(values, torch.tensor([[1.0, 2.0]]), rtol=1e-4, atol=1e-4)


# ----------------------------------------------------------------- compile, export
@pytest.mark.parametrize(
    "convs, cameras, history", [*(("compact", *way) for way in WAYS), ("resnet", "stacked", "stack")]
)
def test_one_graph_holds_it_all(convs, cameras, history):
    contract = make_contract(history=2)
    encoder, observation = make(contract, convs=convs, cameras=cameras, history=history), observe(contract, 2)
    torch.compiler.reset()
    compiled = torch.compile(lambda images: encoder(encoder.stack(images)), fullgraph=True, backend="aot_eager")
    grads = []
    for run in (compiled, lambda images: encoder(encoder.stack(images))):
        encoder.zero_grad()
        features = run(observation)
        features.square().sum().backward()
        grads.append([features.detach(), *(p.grad for p in encoder.parameters())])
    for a, b in zip(*grads, strict=True):
        torch.testing.assert_close(a, b, rtol=1e-3, atol=1e-3)


@pytest.mark.parametrize(
    "convs, cameras, history",
    [
        ("compact", "stacked", "flow"),
        ("compact", "separate", "stack"),
        pytest.param("resnet", "separate", "flow", marks=pytest.mark.slow),
    ],
)
def test_onnx_equals_torch(convs, cameras, history):
    contract = make_contract(history=2)
    cfg = EncoderConfig(convs=convs, cameras=cameras, history=history)
    encoder = PixelEncoder(contract, cfg, (32, 32)).to(memory_format=torch.channels_last)

    class Policy(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.encoder, self.trunk = encoder, Trunk(contract, encoder.size, cfg)

        def forward(self, a, b, proprio):
            return self.trunk(self.encoder(self.encoder.stack({"a": a, "b": b})), proprio)

    policy, buffer = Policy().eval(), io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        program = torch.onnx.export(policy, tuple(observe(contract, 1).values()), dynamo=True, verbose=False)
    program.save(buffer)
    session = onnxruntime.InferenceSession(buffer.getvalue(), providers=["CPUExecutionProvider"])
    for seed in range(3):
        arrays = tuple(observe(contract, 1, seed + 1).values())
        (exported,) = session.run(None, {i.name: v.numpy() for i, v in zip(session.get_inputs(), arrays, strict=True)})
        np.testing.assert_allclose(exported, policy(*arrays).detach().numpy(), rtol=0, atol=1e-4)

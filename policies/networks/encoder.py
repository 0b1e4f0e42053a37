"""From a dictionary of observations to features: images through convolutions,
and a trunk over images and proprioception.
"""

from __future__ import annotations

import torch
from torch import nn

from policies.config import EncoderConfig
from policies.networks.convs import CONVS, feature_size
from policies.networks.layers import initialise
from policies.networks.pixels import join
from policies.policy import Observation
from robot.contract import Contract
from robot.errors import PixelarmError, UnknownName

CAMERAS = ("stacked", "separate")
HISTORIES = ("stack", "flow")


class PixelEncoder(nn.Module):
    """The images of all cameras and of the whole history, through convolutions, to one vector of features.

    Cameras ``stacked`` go by channel through one stack of convolutions; ``separate`` ones each through weights of their
    own, and their features follow each other.

    History ``stack`` puts frames by channel. With ``flow`` (FLARE, arXiv 2101.01857) each frame goes alone through the
    same convolutions, to z_j, and the features are the frames but the oldest, then each one's change since the frame
    before: [z_1 .. z_k, z_1 - stopgrad(z_0) .. z_k - stopgrad(z_(k-1))]. A change keeps its sign: no ReLU follows.
    Joining flat features, as here, or maps by channel and flattening those, as in the paper, is the same; of
    convolutions that end in keypoints the changes are those of the keypoints.

    Args:
        contract: cameras and history.
        cfg: its ``convs``, ``cameras``, ``history`` and ``init``.
        size: height and width of the images, those of every camera, as augmentation leaves them.

    Attributes:
        cameras: their names, in the order of their channels.
        size: of the features.
    """

    def __init__(self, contract: Contract, cfg: EncoderConfig, size: tuple[int, int]) -> None:
        super().__init__()
        for what, value, valid in (
            ("convolutions (algo.encoder.convs)", cfg.convs, CONVS),
            ("treatment of cameras (algo.encoder.cameras)", cfg.cameras, CAMERAS),
            ("treatment of history (algo.encoder.history)", cfg.history, HISTORIES),
        ):
            if value not in valid:
                raise UnknownName(what, value, valid)
        if not contract.cameras:
            raise PixelarmError("an encoder of images needs at least one camera, the contract has none")
        self.flow, self.history = cfg.history == "flow", contract.history
        if self.flow and self.history < 2:
            raise PixelarmError(
                f"algo.encoder.history=flow needs two frames or more to find changes between, algo.history is "
                f"{self.history}: "
                "set algo.history=3 (FLARE's) or algo.encoder.history=stack"
            )
        self.cameras = [c.name for c in contract.cameras]
        self.channels = [self.history * c.channels for c in contract.cameras]  # of each camera, all frames
        self.image_size = tuple(size)
        inputs = self.channels if cfg.cameras == "separate" else [sum(self.channels)]
        if self.flow:
            inputs = [n // self.history for n in inputs]
        self.convs = nn.ModuleList(CONVS[cfg.convs](n) for n in inputs)
        each = [feature_size(convs, cfg.convs, n, size) for convs, n in zip(self.convs, inputs)]
        self.size = sum(each) * (2 * (self.history - 1) if self.flow else 1)
        initialise(self, cfg.init)

    def stack(self, observation: Observation) -> torch.Tensor:
        """The network's input: cameras stacked by channel, ``(B, channels, H, W)`` in [-0.5, 0.5],
        in autocast's type or float32.
        """
        for name, channels in zip(self.cameras, self.channels):
            expected, came = (channels, *self.image_size), tuple(observation[name].shape[1:])
            if came != expected:
                raise PixelarmError(
                    f"camera {name!r} gives images of (channels, height, width) {came}, this encoder reads {expected}: "
                    f"cameras "
                    f"must show {self.history} frame(s) each, in one size; crop or resize them alike"
                )
        return join([observation[name] for name in self.cameras])

    def forward(self, stacked: torch.Tensor) -> torch.Tensor:
        """``(B, channels, H, W)`` from ``stack`` to ``(B, size)``."""
        if len(self.convs) == 1 and not self.flow:
            return self.convs[0](stacked)
        images = stacked.split(self.channels, dim=1)  # of each camera
        if not self.flow:
            return torch.cat([convs(own) for convs, own in zip(self.convs, images)], dim=1)
        groups = [images] if len(self.convs) == 1 else [(own,) for own in images]
        return torch.cat([self._flow(convs, group) for convs, group in zip(self.convs, groups)], dim=1)

    def _flow(self, convs: nn.Module, images: tuple[torch.Tensor, ...]) -> torch.Tensor:
        """Images ``(B, history * c, H, W)`` of the cameras that one stack reads, to ``(B, 2 * (history - 1) * n)``."""
        frames = [torch.cat(cameras, dim=1) for cameras in zip(*(i.chunk(self.history, dim=1) for i in images))]
        with torch.no_grad():  # of the oldest frame only z_0 is read, which carries no gradient
            oldest = convs(frames[0])
        z = [oldest, *convs(torch.cat(frames[1:])).chunk(self.history - 1)]
        return torch.cat([*z[1:], *(new - old.detach() for new, old in zip(z[1:], z))], dim=1)


class Trunk(nn.Module):
    """Convolutional features and normalised proprioception to one vector:
    linear and LayerNorm for each, then tanh if so chosen.
    """

    def __init__(self, contract: Contract, conv_size: int, cfg: EncoderConfig) -> None:
        super().__init__()
        self.proprio = [p.name for p in contract.proprio]
        inputs = contract.history * sum(p.size for p in contract.proprio)
        self.pixels = _trunk(conv_size, cfg.feature_size, cfg.tanh)
        self.state = _trunk(inputs, cfg.proprio_size, cfg.tanh) if inputs else None
        self.size = cfg.feature_size + (cfg.proprio_size if inputs else 0)
        initialise(self, cfg.init)

    def forward(self, convolved: torch.Tensor, proprio: torch.Tensor) -> torch.Tensor:
        """``(B, conv_size)`` and ``(B, n)`` to ``(B, size)``."""
        pixels = self.pixels(convolved)
        return pixels if self.state is None else torch.cat([pixels, self.state(proprio)], dim=1)


def _trunk(inputs: int, outputs: int, tanh: bool) -> nn.Sequential:
    return nn.Sequential(nn.Linear(inputs, outputs), nn.LayerNorm(outputs), *([nn.Tanh()] if tanh else []))

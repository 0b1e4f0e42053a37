"""A small encoder, the contract that it reads, and observations of it."""

import torch

from policies.config import EncoderConfig
from policies.networks.encoder import PixelEncoder
from robot.contract import Action, Camera, Contract, Proprio


def make_contract(history: int = 1, size: int = 32, cameras: int = 2, channels: int = 3, proprio: int = 4) -> Contract:
    return Contract(
        task="tiny",
        cameras=tuple(Camera("abc"[i], size, size, channels) for i in range(cameras)),
        proprio=(Proprio("eef_pos", proprio, "m", "base"),) if proprio else (),
        action=Action("eef_delta_position", ("dx", "gripper"), ("m", "1"), (-0.04, -1.0), (0.04, 1.0)),
        rate_hz=10, deadline_ms=80, max_age_ms=100, history=history,
    )  # fmt: skip


def small(**options) -> EncoderConfig:
    """The encoder of ferm_plus, which these numbers are about."""
    return EncoderConfig(**{"convs": "compact", "feature_size": 64, "tanh": True, **options})


def make(contract: Contract, **options) -> PixelEncoder:
    return PixelEncoder(contract, small(**options), contract.cameras[0].shape[:2])


def observe(contract: Contract, rows: int, seed: int = 0) -> dict[str, torch.Tensor]:
    rng = torch.Generator().manual_seed(seed)
    shapes = {c.name: (rows, contract.history * c.channels, c.height, c.width) for c in contract.cameras}
    images = {name: torch.randint(0, 256, shape, dtype=torch.uint8, generator=rng) for name, shape in shapes.items()}
    return images | {p.name: torch.randn(rows, contract.history * p.size, generator=rng) for p in contract.proprio}

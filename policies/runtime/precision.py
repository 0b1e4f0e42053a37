"""``trainer.precision``: what "auto" means on this machine."""

from __future__ import annotations

import torch

from robot.errors import UnknownName

PRECISIONS = ("auto", "32-true", "bf16-mixed")  # the latter two are Lightning Fabric's


def choose_precision(wanted: str, accelerator: str) -> str:
    """``wanted``, or for "auto" bf16-mixed where the device that ``trainer.accelerator`` names computes in it, 32-true
    elsewhere.

    A CPU without such instructions can emulate them, which is slower than float32.
    """
    if wanted not in PRECISIONS:
        raise UnknownName("precision (trainer.precision)", wanted, PRECISIONS)
    if wanted != "auto":
        return wanted
    return "bf16-mixed" if _bf16(accelerator) else "32-true"


def _bf16(accelerator: str) -> bool:
    if accelerator in ("auto", "cuda", "gpu") and torch.cuda.is_available():
        return torch.cuda.is_bf16_supported(including_emulation=False)
    if accelerator in ("auto", "cpu") and not (accelerator == "auto" and torch.backends.mps.is_available()):
        has = torch.cpu.get_capabilities()
        return any(has.get(name, False) for name in ("avx512_bf16", "amx_bf16"))
    return False

"""Draws every augmentation on a frame of ``lift``, for docs/augmentation.md.

python -m policies.augment.gallery --out docs/images/augmentation.png
"""

from __future__ import annotations

import argparse
import inspect
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from policies.augment import AUGMENTATIONS, make_augmentation

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIZE = 100  # pixels: what CURL and RAD render
DRAWS = 4  # random views of each camera
STEPS = 12  # of the scripted expert before the frame is taken, so that the gripper is near the cube
SHOWN: dict[str, dict[str, Any]] = {name: {} for name in AUGMENTATIONS} | {
    name: {"p": 1.0}
    for name in ("grayscale", "flip", "rotate")  # else most draws would show nothing
}


def lift_frame(seed: int = 0, size: int = SIZE, steps: int = STEPS) -> dict[str, torch.Tensor]:
    """Both cameras' pictures of one moment of ``lift``, each ``(1, 3, size, size)`` uint8."""
    from sim.envs.make import make

    env = make("lift", image_size=size)
    observation, _ = env.reset(seed=seed)
    expert = env.expert(seed)
    for _ in range(steps):
        observation, *_ = env.step(expert())
    cameras = [c.name for c in env.contract.cameras]
    env.close()
    return {name: torch.from_numpy(observation[name].copy()).permute(2, 0, 1)[None] for name in cameras}


def draw(frames: dict[str, torch.Tensor], seed: int = 0) -> Figure:
    """One row an augmentation; for each camera the original, what a policy acts on, and ``DRAWS`` random views."""
    import matplotlib

    matplotlib.use("Agg")
    import matplotlib.pyplot as plt

    titles = ["original", "acts on", *(f"draw {n}" for n in range(1, DRAWS + 1))]
    each = len(titles) + 1  # the last one is a gap
    figure, grid = plt.subplots(
        len(SHOWN), each * len(frames), squeeze=False, figsize=(1.9 + 6.5 * len(frames), 1.12 * len(SHOWN) + 0.5),
        gridspec_kw={"width_ratios": [*[1.0] * len(titles), 0.1] * len(frames)},
    )  # fmt: skip
    generator = torch.Generator().manual_seed(seed)
    for index, (name, options) in enumerate(SHOWN.items()):
        augmentation = make_augmentation([{name: options}])
        for start, (camera, image) in zip(range(0, grid.shape[1], each), frames.items()):
            views = augmentation.train(image.expand(DRAWS, -1, -1, -1), generator)
            panels = [image[0], augmentation.act(image)[0], *views]
            for axes, panel, title in zip(grid[index, start:], panels, titles):
                axes.imshow(panel.round().to(torch.uint8).permute(1, 2, 0).numpy(), interpolation="nearest")
                axes.set(xticks=[], yticks=[])
                if index == 0:
                    axes.set_title(f"{camera}\n{title}" if title == "original" else title, fontsize=9)
            grid[index, start + len(titles)].set_axis_off()
        grid[index, 0].set_ylabel(describe(name), rotation=0, ha="right", va="center", fontsize=9)
    figure.subplots_adjust(left=1.8 / figure.get_figwidth(), right=1, bottom=0.005, top=0.95, wspace=0.04, hspace=0.04)
    return figure


def describe(name: str) -> str:
    """An augmentation with its options, and beside an option that is not at its default, that default."""
    lines = [name]
    for option, parameter in inspect.signature(AUGMENTATIONS[name]).parameters.items():
        value = SHOWN[name].get(option, parameter.default)
        note = "" if value == parameter.default else f" (default {parameter.default:g})"
        lines.append(
            f"{option}: {str(value).lower()}{note}" if isinstance(value, bool) else f"{option}: {value:.3g}{note}"
        )
    return "\n".join(lines)


def main(argv: list[str]) -> int:
    """Write the picture."""
    parser = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="python -m policies.augment.gallery",
        description="Draw every augmentation on a frame of lift: original, what a policy acts on, and random views.",
    )
    parser.add_argument(
        "--out", type=Path, default=Path("docs/images/augmentation.png"), help="picture to write (default: %(default)s)"
    )
    parser.add_argument("--seed", type=int, default=0, help="of the scene and of the draws (default %(default)s)")
    args = parser.parse_args(argv)
    import matplotlib.pyplot as plt

    figure = draw(lift_frame(args.seed), args.seed)
    args.out.parent.mkdir(parents=True, exist_ok=True)
    figure.savefig(args.out, dpi=90)
    plt.close(figure)
    print(f"wrote {args.out}")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

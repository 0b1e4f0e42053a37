"""``pixelarm kinematics``: an arm's joints as a table, and as the rows that a robot's computer solves with."""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import yaml

from robot.errors import PixelarmError, UnknownName
from robot.files import require_file, write_text
from robot.kinematics.chain import Chain
from sim.arms import ARMS
from sim.physics.arm import Arm
from sim.physics.chain import chain_of
from sim.scene.compile import compile_scene
from sim.tasks import make_task

KITCHEN = "kitchen_panda"  # the arm of the kitchen's own file


def arm_and_chain(name: str) -> tuple[Arm, Chain]:
    """An arm by name: its description, and its chain as the simulation model has it, with the driver's joint names.

    Raises:
        UnknownName: an arm that has no simulation model.
    """
    if name not in names():
        raise UnknownName("arm", name, names())
    task = make_task("kitchen_kettle") if name == KITCHEN else make_task("lift", arm=ARMS[name])
    arm = task.arm
    chain = chain_of(compile_scene(task.recipe, arm), arm.base, arm.joints, arm.site)
    joints = tuple(replace(joint, name=name) for joint, name in zip(chain.joints, arm.reported))
    return arm, replace(chain, joints=joints)


def names() -> list[str]:
    """The arms that have a simulation model."""
    return [*ARMS, KITCHEN]


def parser() -> argparse.ArgumentParser:
    made = argparse.ArgumentParser(
        allow_abbrev=False,
        prog="pixelarm kinematics",
        description="An arm's kinematics from its simulation model: each joint's place, axis and range as a table, and "
        "as rows (YAML) with which a robot's computer solves forward and inverse kinematics without MuJoCo.",
        epilog="example: pixelarm kinematics panda --out panda-kinematics.yaml",
    )
    add = made.add_argument
    add("arm", metavar="ARM", help=f"which arm: {', '.join(names())}")
    add("--out", type=Path, metavar="FILE", help="write the rows there")
    add("--overwrite", action="store_true", help="replace FILE if it exists")
    return made


def main(argv: list[str]) -> int:
    args = parser().parse_args(argv)
    if args.overwrite and not args.out:
        raise PixelarmError("--overwrite says what to do with the file of --out: give that too")
    if args.out:
        if args.out.exists() and not args.overwrite:
            raise PixelarmError(f"{args.out} exists already; choose another name, or replace it with --overwrite")
        require_file(args.out)
    arm, chain = arm_and_chain(args.arm)
    print(table(chain))
    tip, _ = chain.forward(np.array(arm.home))
    print(f"\nlength {chain.length:.3f} m; at home the tip is at {_numbers(tip)} m in the frame of the base")
    if args.out:
        write_text(args.out, as_yaml(chain, args.arm))
        print(f"rows written to {args.out}")
    return 0


def table(chain: Chain) -> str:
    """A line for each joint, and one for the tip: place in the frame before, axis, range."""
    head = ("joint", "position, m", "quaternion x, y, z, w", "axis", "range, rad")
    rows = [
        (j.name, _numbers(j.position), _numbers(j.xyzw), _numbers(j.axis), f"{j.low:.4f} to {j.high:.4f}")
        for j in chain.joints
    ]
    rows = [head, *rows, ("(tip)", _numbers(chain.tip_position), _numbers(chain.tip_xyzw), "", "")]
    widths = [max(len(row[i]) for row in rows) for i in range(len(head))]
    return "\n".join("  ".join(cell.ljust(width) for cell, width in zip(row, widths)).rstrip() for row in rows)


def as_yaml(chain: Chain, name: str) -> str:
    """The rows as YAML text, to the last digit, from which ``Chain.from_rows`` makes this very chain."""
    head = (
        f"# Kinematics of {name} as its simulation model has it, written by `pixelarm kinematics {name}`.\n"
        "# Positions in m, quaternions x, y, z, w, joint positions in rad; each frame in the one before.\n"
    )
    return head + yaml.safe_dump(chain.to_rows(), sort_keys=False, default_flow_style=None, width=1000)


def _numbers(values: Sequence[float] | np.ndarray) -> str:
    return ", ".join(f"{value:.4f}".replace("-0.0000", "0.0000") for value in values)

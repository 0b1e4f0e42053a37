"""``pixelarm bench SUITE``: measurements that can be repeated by anyone;
``sim.bench.harness`` says how each is taken.
"""

from __future__ import annotations

import importlib

from robot.errors import UnknownName

# name -> module:function, called with the arguments after the name; imported only when it is asked for
SUITES: dict[str, str] = {
    "sim": "sim.bench.stock:main",
    "tasks": "sim.bench.tasks:main",
    "experts": "sim.bench.experts:main",
    "demo": "sim.bench.demo:main",
    "kinematics": "sim.bench.kinematics:main",
    "chunks": "sim.bench.chunks:main",
    "learner": "policies.bench.learner:main",
    "kitchen": "sim.bench.kitchen:main",
    "skills": "policies.bench.skills:main",
    "latency": "policies.bench.latency:main",
    "spirl": "policies.bench.spirl:main",
    "cameras": "robot.commands.cameras:main",
}


def main(argv: list[str]) -> int:
    if not argv or argv[0] in ("-h", "--help"):
        suites = ", ".join(SUITES)
        print(f"usage: pixelarm bench SUITE [options]\n\nsuites: {suites}; pixelarm bench SUITE --help says more")
        return 0 if argv else 2
    if argv[0] not in SUITES:
        raise UnknownName("benchmark suite", argv[0], SUITES)
    module, _, function = SUITES[argv[0]].partition(":")
    return getattr(importlib.import_module(module), function)(argv[1:])

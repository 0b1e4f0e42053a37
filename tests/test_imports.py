"""The direction of imports: robot <- sim <- {hardware, policies}, rooms in order, and a robot side that needs nothing
heavy.

Read from the syntax tree, so that imports inside functions and ``TYPE_CHECKING`` blocks count too.
"""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import textwrap
from collections.abc import Collection, Iterator
from contextlib import suppress
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent
OURS = {"robot", "sim", "hardware", "policies", "configs", "launch", "tests", "pixelarm"}
MAY_IMPORT = {
    "robot": {"robot"},
    "sim": {"sim", "robot"},
    "hardware": {"hardware", "sim", "robot"},
    "policies": {"policies", "sim", "robot"},
    "configs": set(),
    # `launch` itself is ROS's package of that name; robot and hardware come in as entry points
    "launch": {"launch"},
}
# by a string only: launch files start nodes of these packages as processes
MAY_NAME = {"launch": {"robot", "hardware"}}
NAME_MORE = {
    "robot/cli.py": "the table of subcommands, each imported when it is called",
}
HEAVY = {
    "torch",
    "torchvision",
    "mujoco",
    "robosuite",
    "hydra",
    "omegaconf",
    "lightning",
    "gymnasium",
    "numba",
    "onnx",
    "cv2",
}
ROS = {
    "rclpy",
    "sensor_msgs",
    "geometry_msgs",
    "std_msgs",
    "std_srvs",
    "diagnostic_msgs",
    "lifecycle_msgs",
    "rcl_interfaces",
    "trajectory_msgs",
    "action_msgs",
    "control_msgs",
}


def files(package: str) -> list[Path]:
    return sorted((ROOT / package).rglob("*.py"))


def imports(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(dotted module, line) of every import under ``tree``, ``import_module("...")`` of a literal included."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"relative import in line {node.lineno}: name the package"
            yield str(node.module), node.lineno
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            if _called(node) in ("import_module", "__import__"):
                yield str(node.args[0].value), node.lineno


LOADERS = {"import_module", "__import__", "find_spec", "run_module"}
DOTTED = re.compile(
    rf"({'|'.join(sorted(OURS))})(\.(?!(py|yaml|xml)$)\w+)+(:\w+)?"
)  # policies.training.train, or policies.training.train:main; no file


def in_strings(tree: ast.AST) -> Iterator[tuple[str, int]]:
    """(dotted module, line) of every module of ours that is named by a string: a dotted name wherever it stands (in a
    table that is imported from later, say), a bare one where it is imported or run (``python -m``), and imports in code
    given as text."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield from ((name, node.lineno) for name in _in_text(node.value))
        elif isinstance(node, ast.Call) and (_called(node) in LOADERS):
            yield from ((name, node.lineno) for name in _first_words(node.args[:1]))
        elif isinstance(node, ast.List | ast.Tuple):
            after = [b for a, b in zip(node.elts, node.elts[1:]) if isinstance(a, ast.Constant) and a.value == "-m"]
            yield from ((name, node.lineno) for name in _first_words(after))


def _in_text(text: str) -> Iterator[str]:
    """Modules named by one string; prose that mentions one is left alone."""
    if DOTTED.fullmatch(text):
        yield text.partition(":")[0]
    elif "import" in text:
        with suppress(SyntaxError):  # prose
            yield from (name for name, _ in imports(ast.parse(textwrap.dedent(text))))


def _first_words(nodes: list[ast.expr]) -> Iterator[str]:
    """The bare package that a literal, or an f-string by its beginning, names."""
    for node in nodes:
        start = node.values[0] if isinstance(node, ast.JoinedStr) and node.values else node
        if isinstance(start, ast.Constant) and isinstance(start.value, str):
            word = start.value.partition(".")[0]
            if word in OURS and not DOTTED.fullmatch(start.value):
                yield word


def _called(call: ast.Call) -> str:
    return call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")


def at_start(tree: ast.Module) -> Iterator[tuple[str, int]]:
    """Imports that run when the module is imported: those outside functions and ``if TYPE_CHECKING``."""
    for node in tree.body:
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from imports(node)


def test_the_reader_of_imports_sees_each_kind() -> None:
    code = "import a.b\nfrom c.d import e\ndef f():\n    import g\n    import_module('h.i')\n    __import__('j')\n"
    assert [name for name, _ in imports(ast.parse(code))] == ["a.b", "c.d", "g", "h.i", "j"]
    assert [name for name, _ in at_start(ast.parse(code))] == ["a.b", "c.d"]


def test_the_reader_of_strings_sees_each_kind() -> None:
    named = [
        "SUITES = {'x': 'policies.bench.command:main'}",
        "import_module('policies')",
        "importlib.util.find_spec('policies')",
        "import_module(f'policies.{name}')",
        "run([python, '-m', 'policies'])",
        "run([python, '-m', 'policies.training.train', 'seed=1'])",
        "run([python, '-c', 'import json; from policies import train'])",
        """code = '\\n    import policies.training.train\\n    policies.training.train.main()'""",
    ]
    for code in named:
        assert {name.partition(".")[0] for name, _ in in_strings(ast.parse(code))} - {"json"} == {"policies"}, code
    other = [
        "'policies'",
        "'see policies.training.train for more'",
        "'policies import what they need'",
        "run('-m', name)",
        "find_spec('torch')",
    ]
    assert not [name for code in other for name, _ in in_strings(ast.parse(code))]


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_strings_name_no_module_from_above(package: str) -> None:
    wrong = [
        f"{where}:{line} names {name}"
        for path in files(package)
        if (where := path.relative_to(ROOT).as_posix()) not in NAME_MORE
        for name, line in in_strings(ast.parse(path.read_text()))
        if name.partition(".")[0] in OURS - MAY_IMPORT[package] - MAY_NAME.get(package, set())
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_imports_point_one_way(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files(package)
        for name, line in imports(ast.parse(path.read_text()))
        if name.partition(".")[0] in OURS - MAY_IMPORT[package]
    ]
    assert not wrong, "\n".join(wrong)


def test_only_the_simulated_arm_brings_the_simulator_into_hardware() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files("hardware")
        for name, line in imports(ast.parse(path.read_text()))
        if name.partition(".")[0] == "sim"
        and "simulated" not in path.parts
        and path.name not in ("sim_arm_node.py", "sim_arm.py")
    ]
    assert not wrong, "\n".join(wrong)


# ------------------------------------------------------------------ rooms A room is a folder or a file of a package.
# One imports only what stands above it, never a room of its own line. A longer name wins: "rendering.gl" has a place of
# its own. Names without a file yet are places kept for what is coming.
ROOMS = {
    "robot": [
        "errors packages stats history provenance video",
        "files images rotations",
        "actions kinematics",
        "contract",
        "bundle control",
        "dataset inference profile",
        "arbiter",
        "ros",
        "commands",
        "cli",
    ],
    "sim": [
        "actions rendering.gl",
        "scene",
        "rendering",
        "physics",
        "arms",
        "tasks",
        "envs",
        "kitchen",
        "demonstrations commands",
        "bench",
    ],
    "hardware": ["feetech teleop", "direct", "simulated", "faults", "ros", "commands"],
    "policies": [
        "config registry policy schedules runtime data",
        "augment networks runs",
        "rl imitation",
        "skills",
        "families",
        "rollout",
        "evaluation export",
        "training",
        "bench demo diagnose",
        "reuse",
    ],
}


def modules(package: str) -> dict[str, Path]:
    """Every module of a package by its dotted name; a package's ``__init__`` has the package's."""
    named = {".".join(path.relative_to(ROOT).with_suffix("").parts): path for path in files(package)}
    return {name.removesuffix(".__init__"): path for name, path in named.items()}


def imported(tree: ast.AST, known: Collection[str]) -> set[str]:
    """The modules of ``known`` that are imported under ``tree``, in functions too, but not ``if TYPE_CHECKING``."""
    found = set()
    for node in _running(tree):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            inner = {f"{node.module}.{alias.name}" for alias in node.names}
            found |= {name if name in known else str(node.module) for name in inner}
    return found & set(known)


def _running(tree: ast.AST) -> Iterator[ast.AST]:
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            continue
        yield node
        yield from _running(node)


def graph(*packages: str) -> dict[str, set[str]]:
    """Module -> modules that it imports, of our own."""
    known = {name: path for package in packages for name, path in modules(package).items()}
    return {name: imported(ast.parse(path.read_text()), known) - {name} for name, path in known.items()}


def place(module: str, lines: list[str]) -> tuple[int, str] | None:
    """(line, room) of a module of a package; None of one without a room."""
    inner = module.partition(".")[2] + "."
    rooms = [
        (number, room) for number, line in enumerate(lines) for room in line.split() if inner.startswith(f"{room}.")
    ]
    return max(rooms, key=lambda found: len(found[1]), default=None)


def upward(edges: dict[str, set[str]], lines: list[str]) -> set[tuple[str, str]]:
    """Imports of a room that does not stand above the importing one."""
    wrong = set()
    for name in edges:
        for other in edges[name]:
            here, there = place(name, lines), place(other, lines)
            if here and there and here != there and here[0] <= there[0]:
                wrong.add((name, other))
    return wrong


def in_a_circle(edges: dict[str, set[str]]) -> set[str]:
    """Modules that import themselves in the end, or lie between two that do: what is left when those that import
    nothing, and those that nobody imports, are taken away again and again."""
    left = set(edges)
    while True:
        importing = {name for name in left if edges[name] & left}
        kept = {name for name in importing if any(name in edges[other] for other in importing)}
        if kept == left:
            return left
        left = kept


def test_the_checks_of_rooms_find_each_kind() -> None:
    code = "import a.b\nif TYPE_CHECKING:\n    import a.c\ndef f():\n    from a import d, e\n    from a.f import G\n"
    assert imported(ast.parse(code), ["a", "a.b", "a.c", "a.d", "a.f"]) == {"a", "a.b", "a.d", "a.f"}
    lines = ["low beside top.first", "middle", "top"]
    assert [place(f"p.{name}", lines) for name in ("low.x", "middle", "top.second", "top.first", "topmost")] == [
        (0, "low"),
        (1, "middle"),
        (2, "top"),
        (0, "top.first"),
        None,
    ]
    edges = {"p.low": {"p.beside.x", "p.low.y"}, "p.middle": {"p.top.first", "p.top.second"}, "p.top": {"p.low"}}
    assert upward(edges, lines) == {("p.low", "p.beside.x"), ("p.middle", "p.top.second")}
    edges = {"a": {"b"}, "b": {"c"}, "c": {"d", "e"}, "d": {"b"}, "e": set()}
    assert in_a_circle(edges) == {"b", "c", "d"}
    assert in_a_circle(edges | {"d": set()}) == set()


@pytest.mark.parametrize("package", ROOMS)
def test_rooms_import_only_what_stands_above_them(package: str) -> None:
    assert upward(graph(package), ROOMS[package]) == set(), "see ROOMS"


@pytest.mark.parametrize("package", ROOMS)
def test_every_room_has_its_place(package: str) -> None:
    lost = [name for name in modules(package) if name != package and place(name, ROOMS[package]) is None]
    assert not lost, "give it a line in ROOMS"


def test_no_file_imports_itself_in_the_end() -> None:
    assert in_a_circle(graph(*ROOMS)) == set()


# ------------------------------------------------------------------ the robot's computer
def test_robot_side_names_nothing_heavy() -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files("robot")
        for name, line in imports(ast.parse(path.read_text()))
        if name.partition(".")[0] in HEAVY
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("package", ["robot", "hardware", "sim", "policies"])
def test_ros_is_imported_at_start_only_by_the_nodes(package: str) -> None:
    wrong = [
        f"{path.relative_to(ROOT)}:{line} imports {name}"
        for path in files(package)
        if path.parent.name != "ros"
        for name, line in at_start(ast.parse(path.read_text()))
        if name.partition(".")[0] in ROS
    ]
    assert not wrong, "\n".join(wrong)


IMPORT_ALL = """
import importlib, sys
class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in {refused!r}:
            raise AssertionError("robot imported " + name)
sys.meta_path.insert(0, Refuse())
for name in {names!r}:
    importlib.import_module(name)
print("imported", len({names!r}))
"""


def test_robot_side_imports_with_everything_else_refused() -> None:
    names = [
        ".".join(path.relative_to(ROOT).with_suffix("").parts)
        for path in files("robot")
        if path.name != "__init__.py" and path.parent.name != "ros"
    ]
    refused = HEAVY | ROS | {"sim", "hardware", "policies", "configs", "scipy", "matplotlib", "PIL"}
    done = subprocess.run(
        [sys.executable, "-c", IMPORT_ALL.format(refused=sorted(refused), names=names)],
        cwd=ROOT, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert f"imported {len(names)}" in done.stdout


def test_no_init_in_launch() -> None:
    """``import launch`` must find ROS's package of that name."""
    assert not (ROOT / "launch" / "__init__.py").exists()
    assert not list((ROOT / "launch").glob("pyproject.toml")), "a pyproject beside package.xml breaks colcon"

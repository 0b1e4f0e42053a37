"""The ROS package and its launch files, by reading them, and by loading them where ``launch`` is installed."""

from __future__ import annotations

import ast
import importlib.util
import re
import xml.etree.ElementTree as ElementTree
from pathlib import Path

import pytest

from hardware.commands import sim_arm, teleop
from robot.commands import deploy, replay
from robot.ros.shared_memory import OLD_VARIABLE, VARIABLE

FOLDER = Path(__file__).parents[2] / "launch"
FILES = sorted(FOLDER.glob("*.launch.py"))


def declared(path: Path) -> dict[str, ast.Call]:
    """Every DeclareLaunchArgument of a launch file by name."""
    calls = [n for n in ast.walk(ast.parse(path.read_text())) if isinstance(n, ast.Call)]
    found = [c for c in calls if isinstance(c.func, ast.Name) and c.func.id == "DeclareLaunchArgument"]
    return {ast.literal_eval(call.args[0]): call for call in found}


def configurations(path: Path) -> set[str]:
    """Names whose value a launch file uses, in code or through its tables of names."""
    tree = ast.parse(path.read_text())
    used = set()
    for node in ast.walk(tree):
        if (
            isinstance(node, ast.Call)
            and isinstance(node.func, ast.Name)
            and node.func.id in ("LaunchConfiguration", "setting")
        ):
            if isinstance(node.args[0], ast.Constant):
                used.add(node.args[0].value)
        if isinstance(node, ast.Assign) and getattr(node.targets[0], "id", "") in ("OPTIONS", "PASSED_ON", "SIMULATED"):
            used |= set(ast.literal_eval(node.value))
    return used


def test_the_launch_files_are_there() -> None:
    assert [path.name for path in FILES] == [
        "deploy.launch.py", "replay.launch.py", "sim.launch.py", "teleop.launch.py"
    ]  # fmt: skip


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_every_argument_is_declared_described_and_used(path: Path) -> None:
    compile(path.read_text(), str(path), "exec")
    arguments = declared(path)
    for name, call in arguments.items():
        keywords = {k.arg: k.value for k in call.keywords}
        assert ast.literal_eval(keywords["description"]), name
        if "default_value" in keywords and isinstance(keywords["default_value"], ast.Constant):
            if keywords["default_value"].value in ("true", "false", "profile"):
                assert "choices" in keywords, f"{name} takes a few values only: declare them"
    assert set(arguments) == configurations(path)
    needed = {"deploy.launch.py": "bundle", "replay.launch.py": "dataset"}.get(path.name)
    for name in [needed] if needed else []:
        assert "default_value" not in {k.arg for k in arguments[name].keywords}  # there is no sensible default


def test_launch_arguments_are_real_options() -> None:
    """What the launch files pass on exists: options of sim-arm, teleop and replay, parameters of the policy node."""
    for file, table, parser in (
        ("sim.launch.py", "OPTIONS", sim_arm.parser()),
        ("teleop.launch.py", "OPTIONS", teleop.parser()),
        ("replay.launch.py", "OPTIONS", replay.parser()),
        ("replay.launch.py", "SIMULATED", sim_arm.parser()),
    ):
        options = {option for action in parser._actions for option in action.option_strings}
        text = (FOLDER / file).read_text()
        for name in ast.literal_eval(re.search(rf"^{table} = (\([^)]*\))", text, re.M)[1]):  # type: ignore[index]
            assert f"--{name.replace('_', '-')}" in options
    nodes = re.split(r"\bNode\(", (FOLDER / "deploy.launch.py").read_text())[1:]
    for name, launched, left_out in (
        ("policy_node", nodes[0], set()),
        ("arbiter_node", nodes[1], {"target", "stats_path", "parent", "jumps"}),  # the bundle says the target
    ):
        node = (FOLDER.parent / "robot" / "ros" / f"{name}.py").read_text()
        parameters = set(re.findall(r'\bdeclare\(\s*"(\w+)"', node))
        assert set(re.findall(r'"(\w+)": setting\(', launched)) == parameters - left_out
    flags = {option for action in deploy.parser()._actions for option in action.option_strings}
    assert {"--dry-run", "--no-dry-run", "--speed-scale", "--stats", "--network"} <= flags


def test_nothing_restarts_the_node_that_commands_an_arm() -> None:
    for path in FILES:
        assert "respawn" not in path.read_text()
        assert "on_exit=Shutdown" in path.read_text()


def test_every_node_gets_shared_memory_for_large_images() -> None:
    shipped = FOLDER.parent / "hardware" / "ros" / "fastdds.xml"
    assert (FOLDER / "fastdds.xml").read_text() == shipped.read_text()
    for path in FILES:
        text = path.read_text()
        assert f'("{OLD_VARIABLE}", "{VARIABLE}")' in text and 'parent / "fastdds.xml"' in text
        assert "SetEnvironmentVariable(name, EnvironmentVariable(name, default_value=FAST_DDS))" in text


def test_the_ros_package_is_whole() -> None:
    package = ElementTree.parse(FOLDER / "package.xml").getroot()
    assert package.get("format") == "3"
    assert package.findtext("name") == "pixelarm"
    maintainer = package.find("maintainer")
    assert maintainer is not None
    assert re.fullmatch(
        r"[\w.]+@[\w-]+\.\w+", maintainer.get("email", "")
    )  # an invalid one makes it a plain Python package
    assert package.findtext("export/build_type") == "ament_python"
    assert (FOLDER / "resource" / "pixelarm").is_file()
    assert "$base/lib/pixelarm" in (FOLDER / "setup.cfg").read_text()
    assert not (FOLDER / "pyproject.toml").exists()  # it would break colcon
    assert not (FOLDER / "__init__.py").exists()  # it would hide ROS's own package `launch`
    setup = (FOLDER / "setup.py").read_text()
    assert all(path.name in setup for path in [*FILES, FOLDER / "fastdds.xml"])
    version = re.search(r'^version = "(.+)"$', (FOLDER.parent / "pyproject.toml").read_text(), re.M)
    assert version is not None
    assert package.findtext("version") == version[1]
    assert f'version="{version[1]}"' in setup


def test_entry_points_exist() -> None:
    for target in re.findall(r'"\w+_node = ([\w.]+:\w+)"', (FOLDER / "setup.py").read_text()):
        module, function = target.split(":")
        spec = importlib.util.find_spec(module)
        assert spec is not None and spec.origin is not None
        assert f"def {function}(" in Path(spec.origin).read_text()


@pytest.mark.parametrize("path", FILES, ids=lambda p: p.name)
def test_launch_itself_accepts_the_files(path: Path) -> None:
    """Only where ROS's launch is installed (a robot, or a private install as the platform notes describe)."""
    pytest.importorskip("launch_ros", reason="ros2 launch is not on the package index")
    spec = importlib.util.spec_from_file_location(path.stem.replace(".", "_"), path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    description = module.generate_launch_description()
    assert {a.name for a in description.get_launch_arguments()} >= set(declared(path))

"""The cache of compiled scenes sees every change of what makes a scene, and only that.

Each look is a process of its own, as between two runs with an edit in between: a running process goes on with the code
it has.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from sim.scene.compile import compile_scene, scene_name
from sim.scene.sources import NotSeen
from sim.tasks import TASKS, make_task

ROOT = Path(__file__).resolve().parents[3]
NAMES = """
import json
from sim.scene.compile import scene_name
from sim.scene.sources import NotSeen

def name(task):
    try:
        return scene_name(task.recipe, task.arm, getattr(task, "build", None))
    except NotSeen as reason:
        return f"not seen: {reason}"
"""


def run(code: str, *paths: Path, flags: tuple[str, ...] = ("-c",), cwd: Path | None = None) -> str:
    """The last line that a fresh interpreter prints; ``paths`` are where it looks for packages,
    the first is where it runs.
    """
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(map(str, paths)), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        [sys.executable, *flags, code],
        env=environment,
        cwd=cwd or paths[0],
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.strip().splitlines()[-1]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text, (path, old)
    path.write_text(text.replace(old, new))


# ------------------------------------------------------------------------------------------------------- our own tasks
@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """A copy of the packages, to edit."""
    for package in ("robot", "sim"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    return tmp_path


@pytest.mark.slow
def test_an_edited_task_is_compiled_anew(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The ball is the only sphere of Reach's scene that moves with a mocap body;
    its radius is what the file says now.
    """
    monkeypatch.setenv("PIXELARM_CACHE", str(checkout / "cache"))
    radius = "from sim.envs.make import make; m = make('reach').world.model; "
    radius += "print(m.geom_size[m.body('ball').geomadr[0], 0])"
    assert run(radius, checkout) == "0.025"
    (kept,) = (checkout / "cache").iterdir()
    assert run(radius, checkout) == "0.025" and list((checkout / "cache").iterdir()) == [kept]
    edit(checkout / "sim" / "tasks" / "reach.py", "RADIUS = 0.025", "RADIUS = 0.035")
    assert run(radius, checkout) == "0.035"


@pytest.mark.slow
def test_what_can_change_a_scene_gives_it_another_name_and_nothing_else_does(checkout: Path) -> None:
    tasks = ["reach", "move", "stack", "kitchen", "kitchen_kettle"]
    code = f"{NAMES}from sim.tasks import make_task\nprint(json.dumps({{n: name(make_task(n)) for n in {tasks}}}))"

    def names() -> dict[str, str]:
        return json.loads(run(code, checkout))

    def renamed(*paths: str, old: str, new: str) -> set[str]:
        before = names()
        for path in paths:
            edit(checkout / "sim" / path, old, new)
        after = names()
        return {task for task in before if before[task] != after[task]}

    found = names()
    assert (
        not any(name.startswith("not seen") for name in found.values()) and found["kitchen"] == found["kitchen_kettle"]
    )
    assert len(set(found.values())) == 4
    assert renamed("tasks/reach.py", old="RADIUS = 0.025", new="RADIUS = 0.03") == {"reach"}
    assert renamed("tasks/common/grasping.py", old="MAX_YAW = 0.3", new="MAX_YAW = 0.2") == {
        "move",
        "kitchen",
        "kitchen_kettle",
    }
    assert renamed("scene/mesh.py", old="FEW_FACES = 24", new="FEW_FACES = 25") == set(found)
    unrelated = (
        "rendering/renderer.py",
        "physics/world.py",
        "envs/task_env.py",
        "physics/control.py",
        "tasks/__init__.py",
    )
    assert renamed(*unrelated, old="from __future__", new="# edited\nfrom __future__") == set()


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_registered_task_is_cached(name: str) -> None:
    task = make_task(name)
    assert scene_name(task.recipe, task.arm, getattr(task, "build", None)).startswith(task.recipe.environment.lower())


# ---------------------------------------------------------------------------------------------------- a user's own
# tasks
PEG = """
from typing import TYPE_CHECKING
from sim.tasks.common.tabletop import BOX, TabletopTask, add_anchor, add_mark
{imports}
if TYPE_CHECKING:
    from lab.unrelated import THING

class Peg(TabletopTask):
    name = "peg"
    language = "look at the peg"
    max_steps = 10

    def __init__(self, image_size=64, recipe=None, length=0.1, **more):
        super().__init__(image_size, recipe)
        self.length = length
        self.__dict__.update(more)

    def build(self, spec):
        {inside}
        add_mark(add_anchor(spec, "peg"), BOX, (WIDTH, WIDTH, self.length), (1.0, 0.0, 0.0))
"""


@pytest.fixture
def lab(tmp_path: Path) -> Path:
    """A package of a user's: lab.peg takes a width from lab.sizes, which takes it from lab.parts.wide."""
    (tmp_path / "lab" / "parts").mkdir(parents=True)
    for path, text in {
        "lab/__init__.py": "",
        "lab/peg.py": PEG.format(imports="from .sizes import WIDTH", inside="pass"),
        "lab/late.py": PEG.format(imports="", inside="from lab.parts.wide import WIDTH"),
        "lab/sizes.py": "import numpy\nfrom lab.parts import wide\nWIDTH = wide.WIDTH",
        "lab/parts/__init__.py": "",
        "lab/parts/wide.py": "WIDTH = 0.02",
        "lab/unrelated.py": "THING = 1",
    }.items():
        (tmp_path / path).write_text(text)
    return tmp_path


@pytest.mark.slow
def test_a_users_task_counts_with_what_it_imports_of_its_own_package(lab: Path) -> None:
    def names() -> list[str]:
        code = "from lab import late, peg\nprint(json.dumps([name(m.Peg()) for m in (peg, late)]))"
        return json.loads(run(NAMES + code, ROOT, lab))

    first = names()
    assert names() == first and first[0].startswith("lift-panda-") and first[0] != first[1]
    edit(lab / "lab" / "unrelated.py", "THING = 1", "THING = 2")
    assert names() == first
    edit(lab / "lab" / "parts" / "wide.py", "0.02", "0.03")
    second = names()
    assert second[0] != first[0] and second[1] != first[1], "an import in a module that is imported, or inside build"
    edit(lab / "lab" / "peg.py", "(1.0, 0.0, 0.0)", "(0.0, 1.0, 0.0)")
    assert names()[0] != second[0] and names()[1] == second[1]


@pytest.mark.slow
def test_a_script_counts_with_the_modules_in_its_folder(lab: Path) -> None:
    script = lab / "try_peg.py"
    script.write_text(PEG.format(imports="from beside import WIDTH", inside="pass") + NAMES + "print(name(Peg()))")
    (lab / "beside.py").write_text("WIDTH = 0.01")
    first = run(str(script), ROOT, flags=())
    assert first.startswith("lift-panda-") and run(str(script), ROOT, flags=()) == first
    edit(lab / "beside.py", "0.01", "0.02")
    second = run(str(script), ROOT, flags=())
    edit(script, "(1.0, 0.0, 0.0)", "(0.0, 1.0, 0.0)")
    third = run(str(script), ROOT, flags=())
    assert len({first, second, third}) == 3 and "not seen" not in second + third


@pytest.mark.slow
def test_what_cannot_be_seen_is_not_cached(lab: Path) -> None:
    """Typed in; made in a function; an attribute that is no data; a file read;
    a source that changed under the process.
    """
    peg = "from lab.peg import Peg\n"
    cases = {
        "what is typed in has no file|__main__ has no file": PEG.format(imports="WIDTH = 1.0", inside="pass")
        + "print(name(Peg()))",
        "is made inside a function": peg
        + "def made():\n    class Local(Peg): pass\n    return Local()\nprint(name(made()))",
        "no plain data: object": peg + "print(name(Peg(tool=object())))",
        "is neither a function nor a method": peg
        + "task = Peg(); task.build = print\nprint(name(task))",
        "changed after this process started": peg
        + "import pathlib, time, lab.sizes; time.sleep(0.05); p = pathlib.Path(lab.sizes.__file__); "
          "p.write_text(p.read_text())\n"
        + "print(name(Peg()))",
    }  # fmt: skip
    for words, code in cases.items():
        assert any(word in run(NAMES + code, ROOT, lab) for word in words.split("|")), words
    (lab / "lab" / "sizes.py").write_text("WIDTH = float(open('width.txt').read())")
    (lab / "width.txt").write_text("0.02")
    assert "sizes.py reads files" in run(NAMES + peg + "print(name(Peg()))", ROOT, lab, cwd=lab)


@pytest.mark.slow
def test_the_attributes_of_a_task_count(lab: Path) -> None:
    tasks = "Peg(), Peg(length=0.2), Peg(sides=numpy.array([1.0])), Peg(sides=numpy.array([2.0])), Peg(64), Peg(84)"
    code = f"{NAMES}import numpy\nfrom lab.peg import Peg\nprint(json.dumps([name(t) for t in ({tasks})]))"
    plain, long, one, two, small, large = json.loads(run(code, ROOT, lab))
    assert len({plain, long, one, two}) == 4 and plain == small == large, "the size of its pictures changes no scene"


def test_a_task_that_is_not_seen_is_compiled_all_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setenv("PIXELARM_CACHE", str(tmp_path))
    task = make_task("reach")
    task.tool = object()  # type: ignore[attr-defined]
    with pytest.raises(NotSeen, match="attribute of Reach is no plain data: object"):
        scene_name(task.recipe, task.arm, task.build)
    with caplog.at_level("INFO"):
        assert compile_scene(task.recipe, task.arm, task.build).body("ball").id > 0
    assert "without the cache: an attribute of Reach" in caplog.text and not list(tmp_path.iterdir())

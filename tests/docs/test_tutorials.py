"""Every tutorial is played from its first block to its last, in a folder of its own and with a tiny budget.

What is played: blocks of ``bash`` (``pixelarm`` and ``python`` only), blocks of ``python``, and blocks with a file's
name as their title, which are written. ``text`` with the title "prints" is what the block before it must print.
``console`` is only shown.
"""

from __future__ import annotations

import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = ROOT / "docs" / "tutorials"
EXAMPLES = sorted((ROOT / "docs" / "examples").glob("*.py"))
PLAY = Path(__file__).with_name("play.py")
FENCE = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```$', re.MULTILINE | re.DOTALL)

# added to the commands of a page, so that minutes become seconds; what the page says of the same option loses
BUDGET = {
    "collect": ["--episodes", "3"],
    "train": [
        "recipe.demos=3", "recipe.pretrain_updates=2", "recipe.clone_updates=3", "recipe.critic_warmup=5",
        "recipe.batch_size=8", "recipe.learning_starts=8", "trainer.eval_every=10", "trainer.eval_episodes=1",
        "trainer.checkpoint_every=10", "trainer.accelerator=cpu", "trainer.threads=1",
    ],
    # of a policy that is fitted to demonstrations, which refuses what an online agent alone would read
    "fit": [
        "recipe.demos=3", "recipe.fit_updates=3", "recipe.batch_size=8", "trainer.eval_episodes=1",
        "trainer.accelerator=cpu",
    ],
    "eval": ["--episodes", "2"],
    "compare": ["--episodes", "2"],
}  # fmt: skip
STEPS = "recipe.steps=12"  # of recipes that learn online

# what must be there in the end
LEAVES = {
    "demo": ["runs/lift/policy/policy.json", "bundles/lift/policy.onnx"],
    "first-policy": ["runs/first/policy/policy.json", "films/first.mp4"],
    "own-dataset": ["runs/mine/dataset.hdf5"],
    "own-recipe": ["runs/careful-move-seed1/policy/policy.json", "runs/deterministic-move-seed1/policy/policy.json"],
    "own-task": ["runs/demos-hover/dataset.hdf5", "runs/ferm_plus-hover-seed1/policy/policy.json"],
    "own-policy": ["runs/chunks-lift-seed1/policy/policy.json", "bundles/chunks/policy.onnx"],
}


AT_THE_END = ", at the end"
OWN = {"own-task": ("hover.py", "sim/tasks/hover.py"), "own-policy": ("chunks.py", "policies/chunks.py")}
# in a copy of the packages: the page's file and line are there, and Hydra knows what they add
CHOSEN = {
    "own-task": ["experiment=bc", "task=hover"],
    "own-policy": ["--config-dir", "my_configs", "experiment=chunks"],
}


def blocks(page: str) -> list[tuple[str, str, str]]:
    """``(language, title, text)`` of each code block of a page."""
    return [(language, title or "", text) for language, title, text in FENCE.findall(page)]


def steps(page: str) -> tuple[list[list], dict[int, str]]:
    """What ``play.py`` is to do, and what the steps of some numbers must print."""
    found: list[list] = []
    prints: dict[int, str] = {}
    for language, title, text in blocks(page):
        if title == "prints":
            prints[len(found) - 1] = text
        elif title.endswith(AT_THE_END):
            continue  # a change of pixelarm's own files, see test_what_a_page_adds_may_become_pixelarms_own
        elif title:
            found.append(["write", title, text])
        elif language == "bash":
            found += [command(line) for line in text.replace("\\\n", " ").splitlines() if line.strip()]
        elif language == "python":
            found.append(["code", text])
    return found, prints


def command(line: str) -> list:
    """A line of a shell as a step, with its budget."""
    words = shlex.split(line, comments=True)
    program, arguments = words[0], words[1:]
    name = next((word for word in arguments if word in ("collect", "train", "eval", "compare")), "")
    if name == "train":
        if not {"--cfg", "--help"} & set(arguments):
            fits = "experiment=chunks" in arguments
            arguments += BUDGET["fit"] if fits else BUDGET["train"] + ([] if "experiment=bc" in arguments else [STEPS])
    else:
        arguments += BUDGET.get(name, [])
    return ["run", program, arguments]


class Player:
    """``play.py`` in a process of its own."""

    def __init__(self, log: Path) -> None:
        self.log = log
        with log.open("w") as stderr:
            self.process = subprocess.Popen(
                [sys.executable, str(PLAY)], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=stderr, text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT)},
            )  # fmt: skip

    def play(self, todo: list[list], folder: Path) -> list[str]:
        """Do the steps in a folder; what each of them printed."""
        assert self.process.stdin is not None and self.process.stdout is not None
        print(json.dumps([str(folder), todo]), file=self.process.stdin, flush=True)
        ended = not any(line.strip() == "PLAYED" for line in self.process.stdout)
        assert not ended, f"the process of the tutorials died:\n{self.log.read_text()[-4000:]}"
        played = json.loads((folder / "played.json").read_text())
        assert not played["failed"], f"{played['failed']}\n{self.log.read_text()[-2000:]}"
        return played["printed"]


@pytest.fixture(scope="module")
def player(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Player]:
    made = Player(tmp_path_factory.mktemp("player") / "stderr")
    yield made
    made.process.kill()
    made.process.wait()


@pytest.fixture(scope="module")
def played(player: Player, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a tutorial that has been played; each is played once."""

    @cache
    def folder_of(name: str) -> Path:
        folder = tmp_path_factory.mktemp(name)
        todo, prints = steps((PAGES / f"{name}.md").read_text())
        printed = player.play(todo, folder)
        for number, text in prints.items():
            said = printed[number].strip()
            assert said.endswith(text.strip()), f"the page says {text!r}, it prints {said!r}"
        return folder

    return folder_of


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.gl
@pytest.mark.parametrize("name", LEAVES)
def test_a_tutorial(name: str, played: Callable[[str], Path]) -> None:
    pytest.importorskip("torch")
    folder = played(name)
    missing = [path for path in LEAVES[name] if not (folder / path).exists()]
    assert not missing, missing


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.gl
def test_the_examples(player: Player, played: Callable[[str], Path]) -> None:
    """With the demo's demonstrations and bundle."""
    pytest.importorskip("torch")
    arguments = {
        "expert_episode": ["reach", "films/expert.mp4"],
        "train_and_evaluate": [*BUDGET["train"], STEPS],
        "evaluate_policy": ["bundles/lift", "2"],
        "many_environments": ["reach", "2", "1"],
        "record_dataset": ["runs/recorded"],
        "control_loop": ["bundles/lift", "1"],
    }
    assert {path.stem for path in EXAMPLES} == set(arguments)
    folder = played("demo")
    printed = player.play([["run", "python", [str(path), *arguments[path.stem]]] for path in EXAMPLES], folder)
    said = dict(zip((path.stem for path in EXAMPLES), printed))
    assert (folder / "films" / "expert.mp4").exists() and "steps, success: films/expert.mp4" in said["expert_episode"]
    trained = r"^success at any step \d\.\d\d \[.*\] \(\d+ of 20\), at the end .*$"
    assert re.search(trained, said["train_and_evaluate"], re.MULTILINE)
    assert (folder / "runs" / "from_python" / "policy" / "policy.json").exists()
    assert re.fullmatch(r"success \d\.\d\d \[.*\] \([012] of 2\)\n", said["evaluate_policy"])
    assert "steps a second" in said["many_environments"]
    assert said["record_dataset"].count("success") == 3
    assert re.match(r"inference: .*\n[1-9]\d* commands", said["control_loop"])


@pytest.mark.slow
@pytest.mark.parametrize("name", OWN)
def test_what_a_page_adds_may_become_pixelarms_own(name: str, tmp_path: Path) -> None:
    """One file and one line, in a copy of the packages: no YAML file, no other list."""
    pytest.importorskip("torch")
    for package in ("robot", "sim", "policies", "configs", "hardware"):
        shutil.copytree(ROOT / package, tmp_path / package, ignore=shutil.ignore_patterns("__pycache__"))
    titled = {title: text for _, title, text in blocks((PAGES / f"{name}.md").read_text())}
    script, own = OWN[name]
    (tmp_path / own).write_text(re.split(r"^(?:TASKS|POLICIES)\[", titled[script], flags=re.MULTILINE)[0])
    (registry,) = (title for title in titled if title.endswith(AT_THE_END))
    with (tmp_path / registry.removesuffix(AT_THE_END)).open("a") as file:
        file.write("\n" + titled[registry])
    reader = tmp_path / "reader"  # whose folder holds their recipes and nothing of pixelarm's
    for title in (title for title in titled if title.startswith("my_configs/")):
        (reader / title).parent.mkdir(parents=True)
        (reader / title).write_text(titled[title])
    reader.mkdir(exist_ok=True)
    done = subprocess.run(
        [sys.executable, "-m", "robot.cli", "train", *CHOSEN[name], "--cfg", "job"], cwd=reader, capture_output=True,
        text=True, env={**os.environ, "PYTHONPATH": str(tmp_path)}, timeout=600,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-4000:]
    assert CHOSEN[name][-1].partition("=")[2] in done.stdout


def test_every_tutorial_is_played() -> None:
    pages = {path.stem for path in PAGES.glob("*.md")} - {"index", "examples"}
    assert pages == set(LEAVES)


def test_blocks_become_steps() -> None:
    page = '```python title="a.py"\nx = 1\n```\n\n```bash\npixelarm eval R \\\n  --json f  # note\n```\n'
    page += "\n```console\n$ make demo\n```\n"
    page += '```python\nprint(1)\n```\n\n```text title="prints"\n1\n```\n'
    found, prints = steps(page)
    assert found == [
        ["write", "a.py", "x = 1\n"],
        ["run", "pixelarm", ["eval", "R", "--json", "f", "--episodes", "2"]],
        ["code", "print(1)\n"],
    ]
    assert prints == {2: "1\n"}


def test_the_budget_spares_cloning_its_reinforcement_learning() -> None:
    assert STEPS in command("pixelarm train experiment=ferm")[2]
    assert STEPS not in command("pixelarm train experiment=bc")[2]
    assert command("pixelarm train --cfg job")[2] == ["train", "--cfg", "job"]


def test_the_examples_are_short() -> None:
    long = {path.name: n for path in EXAMPLES if (n := len(path.read_text().splitlines())) > 40}
    assert not long, long

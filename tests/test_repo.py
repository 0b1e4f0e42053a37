"""Hygiene: nothing of one machine in the tree, nothing that runs code from a file, pins that agree with each other."""

from __future__ import annotations

import ast
import re
import subprocess
from collections import Counter
from pathlib import Path

import pytest

from robot.commands import doctor

try:
    import tomllib
except ModuleNotFoundError:  # Python 3.10
    tomllib = None  # type: ignore[assignment]

ROOT = Path(__file__).resolve().parent.parent
TOP_LEVEL = {
    ".ci", ".github", ".gitignore", ".gitattributes", ".pre-commit-config.yaml", "robot", "policies", "sim", "hardware",
    "configs", "launch", "tests", "docs", "pyproject.toml", "README.md", "LICENSE", "Makefile", "CHANGELOG.md",
    "CITATION.cff", "CONTRIBUTING.md", "constraints.txt", "pixelarm.py", "mkdocs.yml", ".python-version",
}  # fmt: skip


def tracked() -> list[Path]:
    """Files of the repository: tracked, or new and not ignored."""
    done = subprocess.run(
        ["git", "ls-files", "-co", "--exclude-standard", "-z"], cwd=ROOT, capture_output=True, text=True
    )
    if done.returncode != 0:
        pytest.skip("not a git checkout")
    return sorted(ROOT / name for name in done.stdout.split("\0") if name and (ROOT / name).is_file())


def text_files() -> list[tuple[Path, str]]:
    found = []
    for path in tracked():
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            found.append((path, data.decode("utf-8", "replace")))
    return found


def python_files() -> list[tuple[Path, str]]:
    return [(path, text) for path, text in text_files() if path.suffix == ".py"]


def where(path: Path, line: int) -> str:
    return f"{path.relative_to(ROOT)}:{line}"


# ------------------------------------------------------------------ nothing of one machine
# Written in two pieces, so that this file does not hold what it looks for.
FORBIDDEN = {
    "a package index": r"--(extra-)?index" + r"-url|--find" + r"-links|--trusted" + r"-host|py" + r"pi\.org/simple",
    "a home folder": r"(?<![\w.~-])/(home|Users)" + r"/[a-z]|(?<![\w.~-])/root" + r"/",
}


@pytest.mark.parametrize("what", FORBIDDEN)
def test_no_file_names(what: str) -> None:
    pattern = re.compile(FORBIDDEN[what])
    wrong = [
        f"{where(path, number)}: {line.strip()[:100]}"
        for path, text in text_files()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]
    assert not wrong, "\n".join(wrong)


def test_no_path_of_this_checkout() -> None:
    here = f"{ROOT.parent}/"
    if len(ROOT.parts) < 3:
        pytest.skip("a checkout this near to / has no path worth looking for")
    wrong = [str(path.relative_to(ROOT)) for path, text in text_files() if here in text]
    assert not wrong, wrong


def test_top_level_is_the_agreed_one() -> None:
    found = {path.relative_to(ROOT).parts[0] for path in tracked()}
    assert found <= TOP_LEVEL, f"new at the top level: {sorted(found - TOP_LEVEL)}"


def test_what_the_readme_writes_is_ignored() -> None:
    """The folders of the README's commands: whoever follows it and commits everything commits no film and no bundle."""
    tracked()  # skips where this is no git checkout
    written = re.findall(r"--(?:out|video|video-dir|results) (\S+)", (ROOT / "README.md").read_text())
    assert {name.partition("/")[0] for name in written} >= {"runs", "bundles", "films"}
    for name in written:
        done = subprocess.run(["git", "check-ignore", "-q", f"{name}/file"], cwd=ROOT)
        assert done.returncode == 0, f"{name} is in no ignore file"


def test_large_files_stay_out() -> None:
    large = [
        f"{path.relative_to(ROOT)}: {path.stat().st_size} bytes" for path in tracked() if path.stat().st_size > 2e6
    ]
    assert not large, large


# ------------------------------------------------------------------ no code from files
LOADERS = {"load", "load_all", "full_load", "unsafe_load", "eval", "exec"}  # last words of what is looked for
PICKLES = {"pickle", "cPickle", "dill", "joblib", "shelve", "marshal", "cloudpickle"}


def unsafe(tree: ast.AST) -> list[tuple[int, str]]:
    """(line, reason) of everything under ``tree`` that would run code out of a file someone else made."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            found += [(node.lineno, f"import {a.name}") for a in node.names if a.name.partition(".")[0] in PICKLES]
        elif isinstance(node, ast.ImportFrom) and str(node.module).partition(".")[0] in PICKLES:
            found.append((node.lineno, f"from {node.module} import"))
        elif isinstance(node, ast.Call) and getattr(node.func, "attr", getattr(node.func, "id", "")) in LOADERS:
            name = ast.unparse(node.func)
            options = {k.arg: ast.unparse(k.value) for k in node.keywords}
            if name == "torch.load" and options.get("weights_only") != "True":
                found.append((node.lineno, "torch.load without weights_only=True"))
            elif name in ("np.load", "numpy.load") and options.get("allow_pickle", "False") != "False":
                found.append((node.lineno, "np.load with pickles"))
            elif name in ("yaml.load", "yaml.unsafe_load", "yaml.full_load", "yaml.load_all"):
                found.append((node.lineno, f"{name}: use yaml.safe_load"))
            elif name in ("eval", "exec"):
                found.append((node.lineno, name))
    return found


def test_the_search_for_unsafe_loading_finds_each_kind() -> None:
    bad = "import pickle\nfrom dill import x\ntorch.load(p)\nnp.load(p, allow_pickle=True)\nyaml.load(f)\neval('1')\n"
    assert [line for line, _ in unsafe(ast.parse(bad))] == [1, 2, 3, 4, 5, 6]
    good = "torch.load(p, weights_only=True)\nnp.load(p)\nyaml.safe_load(f)\nmodel.eval()\n"
    assert unsafe(ast.parse(good)) == []


def test_nothing_is_unpickled() -> None:
    holds_it = {
        ROOT / "tests" / "policies" / "runs" / "test_checkpoint_io.py"
    }  # names pickle to see that nobody uses it
    files = [(path, text) for path, text in python_files() if ROOT / path not in holds_it]
    wrong = [f"{where(path, line)}: {why}" for path, text in files for line, why in unsafe(ast.parse(text))]
    assert not wrong, "\n".join(wrong)


# ------------------------------------------------------------------ pins
PIN = re.compile(r'([a-z0-9][a-z0-9-]*)==([^\s;]+)(?: ; python_version (?:<|>=) "3\.\d+")?')


def constraints() -> dict[str, str]:
    """name -> version for the running kind of environment (Python 3.11 and newer)."""
    pins = {}
    for line in (ROOT / "constraints.txt").read_text().splitlines():
        if line.strip() and not line.startswith("#"):
            match = PIN.fullmatch(line.strip())
            assert match, f"constraints.txt holds exact versions only, not: {line}"
            if ' < "' not in line:
                assert match[1] not in pins, f"constraints.txt pins {match[1]} twice"
                pins[match[1]] = match[2]
    return pins


def test_constraints_are_exact_versions() -> None:
    pins = constraints()
    assert len(pins) > 100
    assert "evdev" not in pins, "evdev has no wheels: a fresh machine without a compiler could not install it"


def test_doctor_knows_the_pinned_versions() -> None:
    pins = constraints()
    tested = {
        name.lower().replace("_", "-"): version for group in doctor.TESTED.values() for name, version in group.items()
    }
    assert tested == {name: pins.get(name) for name in tested}


@pytest.mark.skipif(tomllib is None, reason="tomllib came with Python 3.11")
def test_every_dependency_is_pinned_and_satisfied() -> None:
    from packaging.requirements import Requirement

    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    pins = constraints()
    for text in [*project["dependencies"], *(t for extra in project["optional-dependencies"].values() for t in extra)]:
        need = Requirement(text)
        name = need.name.lower().replace("_", "-")
        if name == "pixelarm":
            continue
        assert name in pins, f"{text} is not in constraints.txt"
        assert need.specifier.contains(pins[name]), f"constraints.txt pins {name} {pins[name]}, pyproject wants {text}"


@pytest.mark.skipif(tomllib is None, reason="tomllib came with Python 3.11")
def test_every_import_is_a_declared_dependency() -> None:
    """What robot/ and hardware/ import at start is in the base; everything else belongs to an extra."""
    import sys

    from robot.cli import EXTRAS

    base = {"numpy", "yaml", "h5py", "onnxruntime", "tqdm"}
    ours = {"robot", "sim", "hardware", "policies", "configs", "tests", "launch"}
    sim = base | set(EXTRAS["sim"]) | {"scipy", "cv2", "triton"}  # robosuite brings scipy and cv2, torch brings triton
    known = {
        "robot": base | set(EXTRAS["ros"]) | {"av"},  # films, where they are asked for
        "sim": sim
        | {"torch", "gymnasium_robotics", "dm_control"},  # the controllers' reference; a benchmark's other side; [dmc]
        "hardware": sim | set(EXTRAS["ros"]) | set(EXTRAS["teleop"]) | {"av"},
        "policies": sim | set(EXTRAS["train"]) | {"PIL"},
    }
    wrong = []
    for path, text in python_files():
        package = path.relative_to(ROOT).parts[0]
        for node in ast.walk(ast.parse(text)) if package in known else ():
            names = [a.name for a in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [str(node.module)]
            for name in {n.partition(".")[0] for n in names} - set(sys.stdlib_module_names) - ours - known[package]:
                wrong.append(f"{where(path, node.lineno)}: {name}")
    assert not wrong, "\n".join(wrong)


# ------------------------------------------------------------------ sizes
def test_files_are_short_and_rooms_are_not_drawers() -> None:
    """No file of more than 400 lines, no folder of more than 12 modules."""
    files = python_files()
    long = [f"{path} has {n} lines" for path, text in files if (n := len(text.splitlines())) > 400]
    counts = Counter(path.parent for path, _ in files if path.name != "__init__.py")
    full = [f"{folder} holds {n} modules" for folder, n in counts.items() if n > 12]
    assert not long + full, "\n".join(long + full)

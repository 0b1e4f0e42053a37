"""What pages say exists: links and their headings, commands and their options, and what a page takes from the code."""

from __future__ import annotations

import importlib
import inspect
import io
import re
import shlex
import sys
from contextlib import redirect_stdout, suppress
from functools import cache
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
PROSE = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *PAGES]
# these keep commands as they were typed at the commit that they name
HISTORY = {*(DOCS / "results").glob("*.md"), DOCS / "changelog.md"}
TODAY = [page for page in PROSE if page not in HISTORY]

sys.path.insert(0, str(DOCS / "hooks"))
import made  # noqa: E402


def where(page: Path) -> str:
    return str(page.relative_to(ROOT))


# ------------------------------------------------------------------------------------------------------------- links
LINK = re.compile(r"(?<!!)\[[^\]]*\]\(([^)\s]+)\)|!\[[^\]]*\]\(([^)\s]+)\)")


def slug(heading: str) -> str:
    """The anchor that MkDocs gives a heading."""
    text = re.sub(r"[`*]|\[([^\]]*)\]\([^)]*\)", lambda found: found[1] or "", heading).strip().lower()
    return re.sub(r"[\s-]+", "-", re.sub(r"[^\w\s-]", "", text)).strip("-")


def anchors(page: Path) -> set[str]:
    text = re.sub(r'^--8<-- "(.+)"$', lambda found: (ROOT / found[1]).read_text(), page.read_text(), flags=re.MULTILINE)
    text = re.sub(r"^```.*?^```", "", text, flags=re.MULTILINE | re.DOTALL)
    return {slug(line.lstrip("#")) for line in text.splitlines() if line.startswith("#")}


@pytest.mark.parametrize("page", PROSE, ids=where)
def test_every_link_of_a_page_leads_somewhere(page: Path) -> None:
    wrong = []
    for link, image in LINK.findall(page.read_text()):
        target, _, anchor = (link or image).partition("#")
        if target.startswith(("http://", "https://", "mailto:")):
            continue
        file = (page.parent / target).resolve() if target else page
        if not file.exists() or (anchor and anchor not in anchors(file)):
            wrong.append(link or image)
    assert not wrong, wrong


PLACE = re.compile(r"`((?:robot|sim|policies|hardware|configs|launch|docs|tests)/[\w./-]*)`")
TO_BE_MADE = {"sim/tasks/hover.py", "policies/chunks.py"}  # by the reader of a tutorial


@pytest.mark.parametrize("page", PROSE, ids=where)
def test_every_file_that_a_page_names_is_there(page: Path) -> None:
    wrong = [name for name in PLACE.findall(page.read_text()) if not (ROOT / name).exists() and name not in TO_BE_MADE]
    assert not wrong, wrong


def test_the_navigation_lists_every_page() -> None:
    def pages(item: object) -> set[str]:
        if isinstance(item, str):
            return {item}
        children = item.values() if isinstance(item, dict) else item
        return set().union(*(pages(child) for child in children))  # type: ignore[attr-defined]

    nav = yaml.safe_load((ROOT / "mkdocs.yml").read_text())["nav"]
    assert pages(nav) == {str(page.relative_to(DOCS)) for page in PAGES}


# ---------------------------------------------------------------------------------------------------------- commands
def code(page: Path) -> list[str]:
    """The lines of a page's code blocks, fenced or indented; continued lines joined."""
    found, fenced = [], False
    for line in page.read_text().replace("\\\n", " ").splitlines():
        if line.lstrip().startswith("```"):
            fenced = not fenced
        elif fenced or line.startswith("    "):
            found.append(line.strip())
    return found


CALL = re.compile(r"(?:\$ )?(?:\.venv/bin/|python \w+\.py )?pixelarm (.*)")


def commands(page: Path) -> list[str]:
    """What a page's code blocks give to ``pixelarm``, without comments and ``&``."""
    called = filter(None, (CALL.fullmatch(line) for line in code(page)))
    return [re.split(r"\s+#", match[1])[0].rstrip("& ") for match in called]


COMMANDS = sorted({command for page in TODAY for command in commands(page)})


@cache
def help_of(*words: str) -> str:
    from robot import cli

    out = io.StringIO()
    with redirect_stdout(out), suppress(SystemExit):
        cli.main([*words, "--help"])
    return out.getvalue()


@pytest.mark.parametrize("line", [c for c in COMMANDS if not c.startswith("train")])
def test_a_command_of_a_page_has_its_options(line: str) -> None:
    from robot import cli

    words = shlex.split(line)
    assert words[0] in cli.COMMANDS or words[0].startswith("-"), line
    if words[0].startswith("-"):
        return
    for extra in cli.COMMANDS[words[0]].extras:
        pytest.importorskip({"sim": "mujoco", "train": "torch", "ros": "rclpy", "teleop": "aiohttp"}[extra])
    text = help_of(*words[:2]) if words[0] in ("bench", "data", "so101") and len(words) > 1 else help_of(words[0])
    missing = [word for word in words if word.startswith("--") and word.partition("=")[0] not in text]
    assert not missing, f"pixelarm {words[0]} has no {missing}"


@pytest.mark.slow
def test_the_training_commands_of_all_pages_compose() -> None:
    pytest.importorskip("torch")
    from policies.training.train import compose

    wrong = []
    for line in (c for c in COMMANDS if c.startswith("train") and "--config-dir" not in c):
        words = [word for word in shlex.split(line)[1:] if not word.startswith("-")]
        if "-m" in line.split():
            words = [first_of(word) for word in words]
        try:
            compose(words)
        except Exception as error:  # Hydra's and ours
            wrong.append(f"pixelarm {line}\n    {str(error).splitlines()[0]}")
    assert not wrong, "\n".join(wrong)


def first_of(override: str) -> str:
    """One value of an override with several, as a sweep has."""
    name, _, values = override.partition("=")
    return override if values.startswith(("[", "{", "'")) else f"{name}={values.partition(',')[0]}"


# ----------------------------------------------------------------------------------------------------------- options
OPTION = re.compile(r"\b((?:algo|recipe|trainer|task)\.[a-z_]+(?:\.[a-z_]+)*)")
PARTS = {
    "actor": "policies.rl.actors:ACTORS",
    "critic": "policies.rl.critics:CRITICS",
    "exploration": "policies.rl.exploration:EXPLORATIONS",
}


def options() -> set[str]:
    found = {f"{group}" for group in ("algo.actor", "algo.critic", "algo.exploration")}
    for name, group in (("TaskConfig", "task"), ("RecipeConfig", "recipe"), ("TrainerConfig", "trainer")):
        found |= {full for full, _ in made.flat_options(name, group)}
    fitted = ("ChunkBcConfig", "BetConfig", "VqBetConfig")
    skills = ("FistConfig", "PlayLmpConfig", "SailorConfig", "TacoRlConfig", "SpirlConfig")
    for name in ("ActorCriticConfig", "CqnAsConfig", *fitted, *skills):
        found |= {full for full, _ in made.flat_options(name, "algo")}
    for group, registry in PARTS.items():
        module, _, name = registry.partition(":")
        for part, make in getattr(importlib.import_module(module), name).items():
            found |= {f"algo.{group}.{part}"} | {f"algo.{group}.{part}.{o}" for o in inspect.signature(make).parameters}
    return found


def test_every_option_that_a_page_names_exists() -> None:
    pytest.importorskip("torch")
    known = options()
    wrong = []
    for page in TODAY:
        for code in re.findall(r"`([^`\n]+)`", page.read_text()):
            wrong += [f"{where(page)}: {name}" for name in OPTION.findall(code) if name not in known]
    assert not wrong, "\n".join(wrong)


def test_every_option_says_what_it_means() -> None:
    """The comment beside a field is its line in the reference."""
    groups = {"TrainConfig": "", "TaskConfig": "task", "RecipeConfig": "recipe", "TrainerConfig": "trainer"}
    groups |= {
        "ActorCriticConfig": "algo",
        "CqnAsConfig": "algo",
        "ChunkBcConfig": "algo",
        "BetConfig": "algo",
        "VqBetConfig": "algo",
        "FistConfig": "algo",
        "PlayLmpConfig": "algo",
        "SailorConfig": "algo",
        "SpirlConfig": "algo",
        "LimitConfig": "limits",
    }
    silent = [full for name, group in groups.items() for full, o in made.flat_options(name, group) if not o.meaning]
    assert not silent, silent


SOURCE = '''
@dataclass
class Base:
    """Text."""

    rate: float = 0.1  # beside it
    # above it,
    # in two lines
    names: list[str] = field(default_factory=list)
    bare: int = 3
    wrapped: bool = (
        False  # inside
    )


@dataclass
class Whole(Base):
    rate: float = 0.2  # another
    part: Part = field(default_factory=Part)
'''


def test_options_are_read_from_the_source() -> None:
    classes = made.read_options(SOURCE)
    bases, own = classes["Whole"]
    assert bases == ["Base"] and [(o.name, o.default, o.meaning) for o in own] == [
        ("rate", "0.2", "another"),
        ("part", "Part()", ""),
    ]
    assert [(o.name, o.type, o.default, o.meaning) for o in classes["Base"][1]] == [
        ("rate", "float", "0.1", "beside it"),
        ("names", "list[str]", "[]", "above it, in two lines"),
        ("bare", "int", "3", ""),
        ("wrapped", "bool", "False", "inside"),
    ]


def test_defaults_are_shown_as_they_are_typed() -> None:
    table = made.options("TaskConfig", "task")
    assert "| `task.image_size` | `64` | " in table and "| `task.actuation_delay_ms` | `[0.0, 50.0]` | " in table
    assert "`runs/demos`" in made.options("TrainConfig") and "`false`" in made.options("TrainConfig")


class OfPage:
    class file:
        src_uri = "index.md"


@pytest.mark.parametrize(
    "html",
    [
        '<script async src="https://x/y.js">',
        "<img alt='' src=//x/y.png>",
        '<link rel="stylesheet" href="http://x/y.css">',
    ],
)
def test_a_page_that_fetches_from_elsewhere_ends_the_build(html: str) -> None:
    with pytest.raises(RuntimeError, match="index.md fetches from elsewhere"):
        made.on_post_page(f"<p>{html}</p>", OfPage)


def test_links_to_elsewhere_are_no_fetches() -> None:
    html = '<a href="https://x/y">y</a><script src="assets/a.js"></script><img src="../images/a.png">'
    assert made.on_post_page(html, OfPage) == html


@pytest.mark.parametrize("page", PAGES, ids=where)
def test_what_a_page_takes_from_the_code_is_there(page: Path) -> None:
    """Those from the source alone; those from the running code are `make docs`'s business."""
    for kind, words in made.MARK.findall(page.read_text()):
        assert kind in made.KINDS, f"{kind} is no kind of {made.MARK.pattern}"
        if kind in ("options", "entries", "code", "file"):
            assert len(made.KINDS[kind](*words.split())) > 50

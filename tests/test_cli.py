"""The console command: every subcommand resolves and explains itself, and what goes wrong is said in a line."""

from __future__ import annotations

import errno
import os
import re
import shlex
import signal
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path

import pytest

from robot import cli
from robot.cli import COMMANDS, Command, main
from robot.errors import PixelarmError

ROOT = Path(__file__).resolve().parent.parent


def run(*argv: str, code: str = "", **options: object) -> subprocess.CompletedProcess[str]:
    """The command in a process of its own; ``code`` runs before ``main``."""
    script = f"import sys\nfrom robot import cli\n{code}\nsys.exit(cli.main({list(argv)!r}))"
    return subprocess.run(
        [sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, timeout=120, **options
    )  # type: ignore[call-overload, no-any-return]


@pytest.fixture
def command(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Put a function of the test's behind ``pixelarm trial``."""

    def put(function: Callable[[list[str]], int], extras: tuple[str, ...] = ()) -> None:
        module = types.ModuleType("pixelarm_trial_command")
        module.main = function  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, module.__name__, module)
        monkeypatch.setitem(COMMANDS, "trial", Command(f"{module.__name__}:main", "", "", cli.LOOK, extras))

    return put


# ------------------------------------------------------------------ the table
@pytest.mark.parametrize("name", list(COMMANDS))
def test_every_command_resolves_and_explains_itself(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    for extra in COMMANDS[name].extras:
        pytest.importorskip({"sim": "mujoco", "train": "torch", "ros": "rclpy", "teleop": "aiohttp"}[extra])
    try:
        status = main([name, "--help"])
    except SystemExit as ended:  # argparse
        status = int(ended.code or 0)
    assert status == 0
    text = capsys.readouterr().out
    assert f"pixelarm {name}" in text, "the usage line names another program: pass prog= to ArgumentParser"
    assert "%%" not in text, "argparse formats % in help=, not in description= and epilog=: one is enough there"
    for word in shlex.split(COMMANDS[name].example):
        if word.startswith("--"):
            assert word in text, f"the example in `pixelarm --help` uses {word}, which `pixelarm {name}` does not have"


@pytest.mark.parametrize("argv", [[], ["-h"], ["--help"], ["help"]])
def test_help_lists_every_command_with_an_example(argv: list[str], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(argv) == 0
    text = capsys.readouterr().out
    for name, command in COMMANDS.items():
        assert command.help in text
        assert f"pixelarm {name} {command.example}".rstrip() in text
    assert max(map(len, text.splitlines())) <= 100


def test_unknown_command_lists_the_valid_ones(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["trian"]) == 2
    text = capsys.readouterr().err
    assert "unknown command 'trian'" in text
    assert "did you mean 'train'?" in text
    assert all(name in text for name in COMMANDS)


def test_version_is_the_installed_one(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert re.fullmatch(r"pixelarm (\d+\.\d+\.\d+|\(not installed\))\n", capsys.readouterr().out)


def test_arguments_and_status_pass_through(command: Callable[..., None]) -> None:
    got: list[list[str]] = []

    def function(argv: list[str]) -> int:
        got.append(argv)
        return 3

    command(function)
    assert main(["trial", "--help", "x=1"]) == 3
    assert got == [["--help", "x=1"]]


def test_starting_imports_nothing_heavy() -> None:
    done = run("--version", code="import atexit; atexit.register(lambda: print(sorted(sys.modules)))")
    assert done.returncode == 0, done.stderr
    loaded = set(re.findall(r"'(\w+)'", done.stdout))
    assert not loaded & {"numpy", "torch", "mujoco", "hydra", "rclpy", "onnxruntime"}


# ------------------------------------------------------------------ what goes wrong
def missing(module: str) -> Callable[[list[str]], int]:
    def function(argv: list[str]) -> int:
        raise ModuleNotFoundError(f"No module named {module!r}", name=module)

    return function


@pytest.mark.parametrize(
    ("extras", "module", "extra"),
    [
        (("train",), "torch", "train"),
        (("train",), "mujoco", "train"),
        (("sim",), "mujoco", "sim"),
        (("ros",), "rclpy", "ros"),
        (("teleop", "ros"), "aiohttp", "teleop"),
    ],
)
def test_missing_extra_is_one_sentence(
    extras: tuple[str, ...], module: str, extra: str, command: Callable[..., None], monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:  # fmt: skip
    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
    command(missing(f"{module}.inner"), extras)
    assert main(["trial"]) == 2
    text = capsys.readouterr().err
    assert f"pixelarm trial needs the extra [{extra}]" in text
    assert f"pip install 'pixelarm[{extra}]'" in text
    assert text.count("\n") == 1


@pytest.mark.parametrize("module", ["sim.nonsense", "yaml", "filelock"])
def test_a_bug_of_ours_keeps_its_traceback(module: str, command: Callable[..., None]) -> None:
    command(missing(module), ("train",))
    with pytest.raises(ModuleNotFoundError):
        main(["trial"])


def test_a_part_missing_from_an_installed_package_is_a_bug(command: Callable[..., None]) -> None:
    """numpy stands for an extra's package that is here, in a version without the part that is imported."""
    cli.EXTRAS["numpy-extra"] = ("numpy",)
    try:
        command(missing("numpy.nonsense"), ("numpy-extra",))
        with pytest.raises(ModuleNotFoundError):
            main(["trial"])
    finally:
        del cli.EXTRAS["numpy-extra"]


def test_our_errors_come_without_traceback(command: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    def function(argv: list[str]) -> int:
        raise PixelarmError("the dataset demos.hdf5 is empty; record some with `pixelarm collect`")

    command(function)
    assert main(["trial"]) == 2
    assert capsys.readouterr().err == "pixelarm: the dataset demos.hdf5 is empty; record some with `pixelarm collect`\n"


def hdf5_full() -> Exception:
    return OSError("Can't synchronously write data (file write failed: errno = 28, 'No space left on device')")


def chained_full() -> Exception:
    try:
        try:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), "runs/x/demos.hdf5")
        except OSError as error:
            raise RuntimeError("could not close the file") from error
    except RuntimeError as error:
        return error


@pytest.mark.parametrize(
    "make",
    [lambda: OSError(errno.ENOSPC, "No space", "runs/a"), lambda: OSError(errno.EDQUOT, "q"), hdf5_full, chained_full],
    ids=["errno", "quota", "hdf5", "chained"],
)
def test_full_disk_is_said_in_words(
    make: Callable[[], Exception], command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def function(argv: list[str]) -> int:
        raise make()

    command(function)
    assert main(["trial"]) == 2
    assert "the disk is full" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("use", "words"),
    [
        (lambda folder: (folder / "FILE" / "x").mkdir(), "FILE/x cannot be used: Not a directory; a part of this path "
                                                         "is a file"),
        (lambda folder: (folder / "none").read_text(), "none cannot be used: No such file or directory; check the "
                                                       "path"),
        (lambda folder: folder.read_text(), "cannot be used: Is a directory; this is a folder, a file is wanted"),
        (lambda folder: (folder / "FILE").mkdir(), "FILE cannot be used: File exists; something else is there already"),
        (lambda folder: (folder / "FILE").rename(folder / "FOLDER"), "FOLDER cannot be used: Is a directory; this is a "
                                                                     "folder"),
        (lambda folder: (folder / ("x" * 300)).mkdir(), "cannot be used: File name too long; choose a shorter name"),
    ],
    ids=["below a file", "absent", "a folder", "a file", "rename", "long"],
)  # fmt: skip
def test_a_path_that_cannot_be_used_is_said_in_a_line(
    use: Callable[[Path], object],
    words: str,
    command: Callable[..., None],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    (tmp_path / "FILE").write_text("")
    (tmp_path / "FOLDER").mkdir()
    command(lambda argv: int(bool(use(tmp_path))))
    assert main(["trial"]) == 2
    text = capsys.readouterr().err
    assert text.startswith(f"pixelarm: {tmp_path}") and words in text and text.count("\n") == 1


@pytest.mark.parametrize("number", [errno.EACCES, errno.EROFS, errno.EPERM, errno.EMFILE])
def test_what_the_system_refuses_is_said_with_the_path(
    number: int, command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    def function(argv: list[str]) -> int:
        raise OSError(number, os.strerror(number), "runs/mine")

    command(function)
    assert main(["trial"]) == 2
    expected = f"pixelarm: runs/mine cannot be used: {os.strerror(number)}; {cli.CURABLE[number]}\n"
    assert capsys.readouterr().err == expected


def test_too_little_memory_is_said_in_a_line(command: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    def function(argv: list[str]) -> int:
        raise MemoryError("Unable to allocate 9 TiB")

    command(function)
    assert main(["trial"]) == 2
    assert capsys.readouterr().err.startswith("pixelarm: not enough memory: Unable to allocate 9 TiB; ask for less")


def test_other_errors_are_bugs(command: Callable[..., None]) -> None:
    def function(argv: list[str]) -> int:
        raise OSError(errno.EIO, "input/output error")

    command(function)
    with pytest.raises(OSError, match="input/output"):
        main(["trial"])


def test_interrupt_is_one_line(command: Callable[..., None], capsys: pytest.CaptureFixture[str]) -> None:
    def function(argv: list[str]) -> int:
        raise KeyboardInterrupt

    command(function)
    assert main(["trial"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


def test_an_interrupted_import_is_an_interrupt(
    command: Callable[..., None], capsys: pytest.CaptureFixture[str]
) -> None:
    """As pybind11 reports a Ctrl-C that came while it set a module up."""

    def function(argv: list[str]) -> int:
        raise ImportError("initialization failed") from KeyboardInterrupt()

    command(function)
    assert main(["trial"]) == 130
    assert capsys.readouterr().err == "interrupted\n"


SLEEP = """
import time, types
module = types.ModuleType("trial")
module.main = lambda argv: (print("ready", flush=True), time.sleep(60))
sys.modules["trial"] = module
cli.COMMANDS["trial"] = cli.Command("trial:main", "", "", cli.LOOK)
"""


def test_control_c_in_a_real_process() -> None:
    script = f"import sys\nfrom robot import cli\n{SLEEP}\nsys.exit(cli.main(['trial']))"
    child = subprocess.Popen(
        [sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert child.stdout is not None
    assert child.stdout.readline() == "ready\n"
    time.sleep(0.1)
    child.send_signal(signal.SIGINT)
    _, errors = child.communicate(timeout=30)
    assert child.returncode == 130
    assert errors == "interrupted\n"


def test_a_progress_bar_in_a_log_is_a_few_lines() -> None:
    """Its first and its last state; ten a second of hours of training would be megabytes."""
    loop = "def main(argv):\n    from tqdm import tqdm\n    for _ in tqdm(range(5000)): import time; time.sleep(0.0001)"
    script = f"import sys, types\nfrom robot import cli\n{loop}\nmodule = types.ModuleType('trial'); module.main = main"
    script += "\nsys.modules['trial'] = module; cli.COMMANDS['trial'] = cli.Command('trial:main', '', '', cli.LOOK)"
    done = subprocess.run(
        [sys.executable, "-c", f"{script}\ncli.main(['trial'])"], cwd=ROOT, capture_output=True, text=True, timeout=60
    )
    assert 2 <= done.stderr.count("5000") <= 4, done.stderr


def test_a_reader_that_left_is_no_error() -> None:
    many = "cli.help_text = lambda: 'x' * 5_000_000"
    script = f"import sys\nfrom robot import cli\n{many}\nsys.exit(cli.main(['--help']))"
    child = subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    assert child.stdout is not None and child.stderr is not None
    child.stdout.read(10)
    child.stdout.close()
    assert child.stderr.read() == b""
    assert child.wait(30) == 141


def test_a_full_standard_output_is_said_in_words() -> None:
    with open("/dev/full", "w") as full:
        done = subprocess.run(
            [sys.executable, "-m", "robot.cli"], cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=60
        )
    assert done.returncode == 2
    assert "the disk is full" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_terminal_without_utf8_gets_text_all_the_same() -> None:
    done = run("--help", env={**os.environ, "PYTHONIOENCODING": "ascii"})
    assert done.returncode == 0, done.stderr
    assert "pixelarm train" in done.stdout

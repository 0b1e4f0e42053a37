"""The table of `pixelarm bench skills`, by hand, and what it refuses."""

import dataclasses
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from safetensors.torch import load_file

from policies.bench.skills import ALONE, LEARNERS, TUNED, Study, _parser, cells_of, main
from policies.bench.skills_table import Cell, compared, completed, draw, needed
from policies.training import fit as fitting
from policies.training.skills import FREE
from robot.errors import PixelarmError, UnknownName
from sim.kitchen.folder import jobs_of, make_split
from sim.kitchen.protocol import Score
from sim.kitchen.splits import PRETRAINING


def played(done: list[list[int]]) -> Score:
    """Scenes whose subtasks are done (1) from step 300 on, or never (0)."""
    distances = np.ones((len(done), 451, len(done[0])))
    distances[:, 300:] -= 0.9 * np.array(done)[:, None]
    return Score(("microwave", "kettle", "switch", "knob")[: len(done[0])], tuple(range(len(done))), distances)


WORDS = {name: LEARNERS[name].words for name in ("fist", "bc")}


def test_learners_are_compared_in_pairs_with_the_first():
    """FIST does both in both scenes; the other does one and none: 2 against 0.5 of 2, 1.5 less on average, [-2, -1]."""
    scores = {"fist": [played([[1, 1], [1, 1]])], "bc": [played([[1, 0], [0, 0]])]}
    assert completed(scores["bc"], 280).tolist() == [[0, 0]] and completed(scores["bc"], 450).tolist() == [[1, 0]]
    lines = compared(scores, WORDS).splitlines()
    assert lines[-2] == "| FIST | 0.00 [0.00, 0.00] | 2.00 [2.00, 2.00] |  | 1.00 | 1.00 |"
    words = (
        "| cloning, the demonstrations alone | 0.00 [0.00, 0.00] | 0.50 [0.00, 1.00] | -1.50 [-2.00, -1.00] | 0.50 |"
    )
    assert lines[-1] == f"{words} 0.00 |"


def test_learners_adapt_skills_by_what_adapting_may_change():
    options = {option.partition("=")[0] for learner in LEARNERS.values() if learner.skills == TUNED
               for option in learner.options}  # fmt: skip
    assert "algo.strays" in options and options <= {f"algo.{name}" for name in FREE}


def test_what_is_needed_for_three_subtasks_of_four(tmp_path):
    """FIST completes three from two demonstrations on, and after 20 updates; cloning with four, after 30."""
    three, two = [[1, 1, 1, 0]], [[1, 1, 0, 0]]
    rows = {Cell(1, 30, 40): (two, two), Cell(2, 30, 40): (three, two), Cell(4, 30, 40): (three, three)}
    rows |= {Cell(4, 15, 20): (three, two), Cell(4, 5, 10): (two, two)}
    found = {cell: {"fist": [played(fist)], "bc": [played(bc)]} for cell, (fist, bc) in rows.items()}
    lines = needed(found, WORDS, {"bc"}).splitlines()
    longest = "40 updates of fine-tuning or 30 without skills"
    assert lines[2] == f"| learner | demonstrations, with {longest} | updates, with 4 demonstrations |"
    assert lines[4:] == ["| FIST | 2 | 20 |", "| cloning, the demonstrations alone | 4 | 30 |"]
    draw(found, WORDS, {"bc"}, tmp_path / "reuse.png")
    assert (tmp_path / "reuse.png").read_bytes().startswith(b"\x89PNG")


def test_every_number_of_demonstrations_is_measured_with_every_pair_of_updates():
    args = "--split no-kettle --targets 1 10 --alone-updates 5 6 --adapt-updates 7 8".split()
    cells = cells_of(_parser().parse_args(args))
    assert cells == [Cell(1, 5, 7), Cell(10, 5, 7), Cell(1, 6, 8), Cell(10, 6, 8)]
    assert cells[0].words == "1 demonstration, 7 updates of fine-tuning or 5 without skills"


@pytest.mark.parametrize(
    ("argv", "error", "words"),
    [
        (["--split", "mixed"], PixelarmError, "no target demonstrations"),
        (["--split", "no-kettle", "--learners", "nobody"], UnknownName, "nobody"),
        (["--split", "no-kettle", "--data", "nowhere"], PixelarmError, "nowhere holds 0 of 10 target demonstrations"),
        (["--split", "no-kettle", "--episodes", "0"], PixelarmError, "--episodes must be at least 1, got 0"),
        (["--split", "no-kettle", "--targets", "10", "0"], PixelarmError, "--targets must be at least 1, got 0"),
        (["--split", "no-kettle", "--adapt-updates", "1", "2"], PixelarmError, "equally many numbers; got 1 and 2"),
    ],
)
def test_what_cannot_be_measured_is_refused(argv, error, words):
    with pytest.raises(error, match=words):
        main(argv)


def test_its_examples_can_be_pasted_and_its_defaults_are_named(capsys):
    with pytest.raises(SystemExit):
        main(["--help"])
    text = capsys.readouterr().out
    lines = text.partition("examples:")[2].replace("\\\n", " ").strip().splitlines()
    commands = [shlex.split(line) for line in lines]
    assert [words[:3] for words in commands] == [["pixelarm", "data", "make"], *[["pixelarm", "bench", "skills"]] * 3]
    for words in commands[1:]:
        args = _parser().parse_args(words[3:])
        assert set(args.learners) <= set(LEARNERS) and args.split == "no-kettle"
    said = {
        entry.split()[0]: " ".join(entry.split()) for entry in re.split(r"\n  (?=--)", text.partition("options:")[2])
    }
    for option, default in vars(_parser().parse_args(["--split", "no-kettle"])).items():
        default = default[0] if option in ("targets", "alone_updates", "adapt_updates") else default
        if isinstance(default, int):
            assert f"(default: {default})" in said[f"--{option.replace('_', '-')}"]


# ------------------------------------------------------------------------------------- what is there is used again
SMALL = "--seeds 1 --targets 1 --episodes 1 --pretrain-updates 3 --alone-updates 3 --adapt-updates 3".split()


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    """Skills of cloning and cloning of the demonstrations alone, one update each."""
    folder = tmp_path_factory.mktemp("study")
    assert len(list(make_split(jobs_of("no-kettle", folder / "data", 1, 1, 3), "no-kettle", 1))) == 2
    study = Study(folder / "data", folder / "out", 1, {PRETRAINING: 1, ALONE: 1, TUNED: 1}, 1)
    study.skills("chunk_bc_states", 1)
    study.policy("bc", 1)
    return study


def widest(run: Path) -> int:
    """Of a policy's layers."""
    return max(tensor.shape[0] for tensor in load_file(run / "policy" / "policy.safetensors").values() if tensor.ndim)


def elsewhere(study: Study, folder) -> Study:
    """The same with a copy of its data."""
    return dataclasses.replace(study, data=shutil.copytree(study.data, folder / "data"))


@pytest.mark.train
def test_skills_that_are_there_are_used_again(study):
    kept = study.out / "skills-chunk_bc_states-seed1" / "policy" / "policy.json"
    before = kept.stat().st_mtime_ns
    assert study.skills("chunk_bc_states", 1) == kept.parents[1] and kept.stat().st_mtime_ns == before


@pytest.mark.train
@pytest.mark.parametrize("name", ["bc_wide", "bc_pretrained_wide"])
def test_a_wide_learner_has_a_wide_network_and_skills_of_its_own(study, name, tmp_path):
    there = dataclasses.replace(study, out=shutil.copytree(study.out, tmp_path / "out"))
    narrow, wide = (widest(there.policy(of, 1)) for of in ("bc", name))
    assert wide == 512 > narrow
    skills = there.out / "skills-chunk_bc_states-hidden512-seed1"
    assert skills.exists() == (name == "bc_pretrained_wide")


@pytest.mark.train
@pytest.mark.slow
def test_an_interrupted_study_goes_on_where_it_stopped(study, tmp_path, monkeypatch, capsys):
    """Ctrl-C in the second learner's first update: the first one's policy and score stay as they are."""
    command = ["--split", "no-kettle", "--data", str(study.data), "--out", str(tmp_path), *SMALL]
    command += ["--learners", "bc", "fist_untuned"]
    report, interrupted = fitting.Metrics.on_train_batch_end, []

    def once(self, trainer, *others):
        report(self, trainer, *others)
        if (tmp_path / "bc-1demos-3updates-seed1" / "score.npz").exists() and not interrupted:
            interrupted.append(trainer.global_step)
            raise KeyboardInterrupt

    monkeypatch.setattr(fitting.Metrics, "on_train_batch_end", once)
    with pytest.raises(KeyboardInterrupt):
        main(command)
    assert interrupted == [1] and f"the same command goes on with what is in {tmp_path}" in capsys.readouterr().err
    done = {
        path: path.stat().st_mtime_ns for path in (tmp_path / "bc-1demos-3updates-seed1").rglob("*") if path.is_file()
    }
    for _ in range(2):
        assert main(command) == 0 and "| FIST without fine-tuning |" in (tmp_path / "table.md").read_text()
        assert all(path.stat().st_mtime_ns == before for path, before in done.items())
        done |= {path: path.stat().st_mtime_ns for path in tmp_path.glob("*seed1/**/*") if path.is_file()}


@pytest.mark.train
def test_a_score_that_was_being_written_when_it_was_interrupted_is_played_again(study, monkeypatch):
    with monkeypatch.context() as patch:

        def half(file, **arrays):
            file.write_bytes(b"PK") if isinstance(file, Path) else file.write(b"PK")
            raise KeyboardInterrupt

        patch.setattr(np, "savez_compressed", half)
        with pytest.raises(KeyboardInterrupt):
            study.score("bc", 1)
    assert study.score("bc", 1).seeds == (10_000,)


@pytest.mark.train
def test_a_seed_or_a_learner_that_is_given_twice_is_one(study, tmp_path):
    shutil.copytree(study.out / "bc-1demos-1updates-seed1", tmp_path / "bc-1demos-1updates-seed1")
    command = ["--split", "no-kettle", "--data", str(study.data), "--out", str(tmp_path), "--targets", "1"]
    command += ["--episodes", "1", "--alone-updates", "1", "--learners", "bc", "bc", "--seeds", "1", "1"]
    assert main(command) == 0 and "; 1 training seeds, 1 scenes each" in (tmp_path / "table.md").read_text()


@pytest.mark.train
def test_skills_of_other_updates_are_not_used(study):
    longer = dataclasses.replace(study, updates={**study.updates, PRETRAINING: 2})
    with pytest.raises(PixelarmError, match="skills-chunk_bc_states-seed1 is fitted for 1 updates, not 2"):
        longer.skills("chunk_bc_states", 1)


@pytest.mark.train
def test_skills_of_other_data_are_not_used(study, tmp_path):
    with pytest.raises(PixelarmError, match=r"is fitted to the data of .*study.*, not .*/data/pretraining: give the"):
        elsewhere(study, tmp_path).skills("chunk_bc_states", 1)


@pytest.mark.train
def test_policies_of_other_data_are_not_used(study, tmp_path):
    with pytest.raises(
        PixelarmError, match=r"bc-1demos-1updates-seed1 is fitted to the data of .*, not .*/data/target"
    ):
        elsewhere(study, tmp_path).policy("bc", 1)


@pytest.mark.train
def test_skills_that_were_begun_with_other_settings_do_not_go_on(study, tmp_path):
    """Killed before their end: there is a configuration, and no last policy."""
    begun = dataclasses.replace(study, out=tmp_path, updates={**study.updates, PRETRAINING: 2})
    shutil.copytree(study.out / "skills-chunk_bc_states-seed1", tmp_path / "skills-chunk_bc_states-seed1")
    shutil.rmtree(tmp_path / "skills-chunk_bc_states-seed1" / "last")
    (tmp_path / "skills-chunk_bc_states-seed1" / "skills.json").unlink()
    with pytest.raises(PixelarmError, match="is fitted for 1 updates, not 2"):
        begun.skills("chunk_bc_states", 1)

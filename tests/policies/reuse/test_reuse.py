"""`pixelarm reuse` on a tiny FIST policy of the kitchen: what it writes, what it leaves alone, what it refuses."""

import dataclasses
import re

import numpy as np
import pytest

from policies.reuse.command import main
from policies.reuse.subject import subject_of
from policies.runs.checkpoint import read_json
from policies.training.skills import adapt, pretrain
from policies.training.train import compose, train
from robot.dataset.episodes import read_episode, write_episode
from robot.errors import PixelarmError
from sim.kitchen.folder import jobs_of, make_split
from sim.tasks.kitchen import Kitchen

pytestmark = pytest.mark.train

TINY = ["recipe.batch_size=8", "recipe.fit_updates=3", "trainer=cpu", "trainer.threads=1"]
SUBTASKS = ["microwave", "kettle", "slide_cabinet", "hinge_cabinet"]


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """Data of two and two demonstrations, skills of FIST, and a policy of them."""
    folder = tmp_path_factory.mktemp("reuse")
    data, skills, run = folder / "no-kettle", folder / "skills", folder / "run"
    assert len(list(make_split(jobs_of("no-kettle", data, 2, 2, 3), "no-kettle", 1))) == 4
    small = ["algo.hidden=8", "algo.layers=1", "algo.recurrent=8"]
    assert pretrain([f"data={data}", f"run={skills}", *TINY, *small]) == 0
    assert adapt([f"skills={skills}", f"demos={data / 'target'}", f"run={run}", *TINY]) == 0
    return folder


def files(folder):
    return {path: path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def test_a_run_is_shown_and_left_as_it_was(made, capsys):
    before = files(made)
    assert main([str(made / "run"), "--episodes", "2", "--steps", "12"]) == 0
    said = capsys.readouterr().out
    assert {path: data for path, data in files(made).items() if path.parent.name != "reuse"} == before
    found = read_json(made / "run" / "reuse" / "reuse.json")
    assert found["format"] == "pixelarm-reuse/1" and found["horizon"] == 10 and found["notes"] == []
    assert [one["seed"] for one in found["episodes"]] == [10_000, 10_001]
    for one in found["episodes"]:
        assert one["steps"] == len(one["moment"]) == len(one["distance"]) == len(one["skill"]) == 12
        assert list(one["completed"]) == SUBTASKS and not any(one["completed"].values())
        assert set(one["demonstration"]) <= {0, 1} and sum(one["shares"]) == pytest.approx(1.0)
        ends = [found["demonstrations"][number] for number in one["demonstration"]]
        assert all(0 <= moment <= end for moment, end in zip(one["moment"], ends))
    # both demonstrations do all four, in the order of the task
    assert all(sorted(one, key=one.get) == SUBTASKS for one in found["demonstrated"]["completed"])
    assert found["numbers"]["completed"] == 0.0 and found["numbers"]["pace"] is None
    assert found["skills"]["stretches"]["demonstrations"] == sum(length - 9 for length in found["demonstrations"])
    assert found["skills"]["stretches"]["data"] > 0
    assert all(one["sentence"] in said for one in found["findings"] if not one["ok"])
    assert "completed subtasks, share of all" in said and re.search(r"10001 +0 of 4 +12 ", said)


def test_the_page_holds_everything_in_one_file(made, tmp_path):
    assert main([str(made / "run"), "--episodes", "1", "--steps", "9", "--out", str(tmp_path / "out")]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {"index.html", "reuse.json"}
    page = (tmp_path / "out" / "index.html").read_text()
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert re.findall(r"<h2>([^<]*)</h2>", page) == [
        "Findings", "Episodes", "Subtasks", "Demonstrations", "Skills", "Scene 10000", "Everything measured",
    ]  # fmt: skip
    assert page.count("<img") == 3 + 3 * 8  # two figures of the scene and one of all, and a strip of three rows
    (tmp_path / "out" / "reuse.json").unlink()
    with pytest.raises(PixelarmError, match="holds something else than such a report"):
        main([str(made / "run"), "--out", str(tmp_path / "out")])


def test_what_is_no_longer_there_is_said_or_asked_for(made, tmp_path, capsys):
    """The data may be missing, and a note says so; the demonstrations may not."""
    elsewhere = tmp_path / "elsewhere"
    (made / "no-kettle").rename(elsewhere)
    try:
        few = ["--episodes", "1", "--steps", "3", "--out", str(tmp_path / "out")]
        with pytest.raises(PixelarmError, match="target, the demonstrations .* is not there: name .* with --demos"):
            main([str(made / "run"), *few])
        assert main([str(made / "run"), *few, "--demos", str(elsewhere / "target")]) == 0
        assert "pretraining, the data that the skills were learned from, is not there" in capsys.readouterr().out
        assert main([str(made / "run"), *few, "--demos", str(elsewhere / "target"), "--data", str(elsewhere)]) == 0
        assert read_json(tmp_path / "out" / "reuse.json")["notes"] == []
        with pytest.raises(PixelarmError, match="are not the .* states that this policy looks up"):
            main([str(made / "run"), *few, "--demos", str(elsewhere / "pretraining")])
    finally:
        elsewhere.rename(made / "no-kettle")


def test_what_skills_are_from_is_found_through_the_run_that_a_policy_began_with(made, tmp_path):
    """The same policy with another haste: its skills' data are the pretraining data, not the demonstrations."""
    words = [f"skills={made / 'run'}", f"demos={made / 'no-kettle' / 'target'}", f"run={tmp_path / 'run'}"]
    adapt([*words, "algo.haste=0.015", *TINY, "recipe.fit_updates=0"])
    subject = subject_of(tmp_path / "run")
    assert subject.policy.cfg.haste == 0.015 and subject.note == ""
    assert subject.skills is not None and subject.skills[1] == made / "no-kettle" / "pretraining"


def test_a_policy_of_pictures_is_shown_too(made, tmp_path):
    """Fitted to its demonstrations alone, of 20 steps each: there are no skills' data."""
    cameras = tuple(dataclasses.replace(c, height=32, width=32) for c in Kitchen().contract.cameras)
    for number in range(2):
        whole = read_episode(made / "no-kettle" / "target" / f"episode_{number:06d}.hdf5")
        pictures = {c.name: np.full((21, *c.shape), 90 * number, np.uint8) for c in cameras}
        proprio = {entry.name: whole.observations[entry.name][:21] for entry in whole.contract.proprio}
        episode = dataclasses.replace(
            whole, contract=dataclasses.replace(whole.contract, cameras=cameras),
            observations={**pictures, **proprio}, actions=whole.actions[:20], rewards=whole.rewards[:20],
            terminated=whole.terminated[:20], stamps=whole.stamps[:21],
            simulation={"qpos": whole.simulation["qpos"][:21], "subtask": whole.simulation["subtask"][:20]},
        )  # fmt: skip
        (tmp_path / "demos").mkdir(exist_ok=True)
        write_episode(tmp_path / "demos" / f"episode_{number:06d}.hdf5", episode)
    network = ["algo.hidden=8", "algo.layers=1", "algo.recurrent=8", "algo.encoder.feature_size=8"]
    where = [f"demos={tmp_path / 'demos'}", f"run={tmp_path / 'run'}", "recipe.demos=2", "task.image_size=32"]
    train(compose(["experiment=fist_pixels", f"task={episode.contract.task}", *where, *network, *TINY]))
    assert main([str(tmp_path / "run"), "--episodes", "1", "--steps", "3"]) == 0
    found = read_json(tmp_path / "run" / "reuse" / "reuse.json")
    assert found["notes"] == ["this policy was fitted to its demonstrations alone: no skills were learned before"]
    assert found["skills"]["stretches"] == {"data": 0, "demonstrations": 22} and found["episodes"][0]["steps"] == 3


def test_what_reuses_nothing_is_refused(made, tmp_path):
    cloned = tmp_path / "cloned"
    options = ["experiment=chunk_bc_states", "algo.hidden=8", *TINY]
    pretrain([f"data={made / 'no-kettle'}", f"run={cloned}", *options])
    with pytest.raises(PixelarmError, match="of the family chunk_bc, which looks no demonstrations up"):
        main([str(cloned)])
    with pytest.raises(PixelarmError, match="holds skills alone, without demonstrations to look up: `pixelarm adapt"):
        main([str(made / "skills")])
    with pytest.raises(PixelarmError, match="is no run of `pixelarm adapt`"):
        main([str(made)])
    with pytest.raises(PixelarmError, match="nowhere does not exist"):
        main([str(tmp_path / "nowhere")])
    with pytest.raises(PixelarmError, match="--episodes must be at least 1, got 0"):
        main([str(made / "run"), "--episodes", "0"])

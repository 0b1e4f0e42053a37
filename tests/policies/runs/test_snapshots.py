"""When a run keeps its networks, and what is found of them afterwards."""

import torch

from policies.runs import checkpoint, snapshots


def test_a_snapshot_is_due_at_the_sixteenth_and_each_doubling():
    assert [step for step in range(1, 161) if snapshots.due(step - 1, step, 160)] == [10, 20, 40, 80, 160]
    # several environments step at once: the mark lies between, or is passed at the end
    assert [step for step in range(3, 166, 3) if snapshots.due(step - 3, step, 160)] == [12, 21, 42, 81, 162]


def test_snapshots_stay_and_are_written_again_by_a_resumed_run(tmp_path):
    for step in (5, 10, 20, 5):
        snapshots.keep(tmp_path, step, {"encoder.weight": torch.full((2,), float(step))})
    found = snapshots.kept(tmp_path)
    assert list(found) == [5, 10, 20]
    assert checkpoint.load_tensors(found[10])["encoder.weight"].tolist() == [10.0, 10.0]
    assert not list((tmp_path / snapshots.FOLDER).glob(".partial*"))


def test_the_newest_checkpoint_counts_where_it_is_later(tmp_path):
    assert snapshots.kept(tmp_path) == {}
    for step in (0, 8):
        checkpoint.write(tmp_path / "checkpoints" / "rank0", step, lambda folder: None)
    assert [path.parent.parent.name for path in snapshots.kept(tmp_path).values()] == ["rank0"]
    snapshots.keep(tmp_path, 5, {})
    assert list(snapshots.kept(tmp_path)) == [5, 8]
    snapshots.keep(tmp_path, 8, {})
    assert [path.parent.parent.name for path in snapshots.kept(tmp_path).values()] == ["snapshots", "snapshots"]

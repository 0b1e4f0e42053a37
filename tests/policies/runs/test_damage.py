"""Runs and policies whose files are damaged, or cannot be written, are said to be so."""

import json

import pytest
import torch
from conftest_policies import tiny_contract
from conftest_runs import run_compare, write_run

from policies.config import TrainConfig
from policies.evaluation.compare import main
from policies.rl.config import ActorCriticConfig
from policies.runs import checkpoint
from robot.errors import PixelarmError

ABOUT = {"step": 0, "frames": 0}


@pytest.mark.parametrize(
    ("file", "content", "words"),
    [
        ("config.yaml", b"\x80\x81", "config.yaml is not YAML"),
        ("config.yaml", b"a: [1", "config.yaml is not YAML"),
        ("config.yaml", b"experiment: x\ntask: {name: lift}\nrecipe: 3\n", "is not one of `pixelarm train`"),
        ("policy/policy.json", b"[1]", "policy.json must hold a JSON object .*, got list"),
        ("policy/policy.json", b"\xff", "policy.json is not JSON"),
        ("policy/policy.json", b"{}", "does not describe a policy"),
        ("metrics.jsonl", b'[1]\n"x"\n', r"metrics.jsonl is not a log of `pixelarm train`: a line of it is '\[1\]'"),
    ],
)
def test_a_damaged_run_is_said_in_words(tmp_path, file, content, words):
    run = write_run(tmp_path / "a1", "a", 1, [(500, 3)])
    (run / file).write_bytes(content)
    with pytest.raises(PixelarmError, match=words):
        main([str(run), "--curves-only", "--out", str(tmp_path / "out")])


def test_a_log_that_ends_in_half_a_character_is_read_up_to_there(tmp_path):
    run = write_run(tmp_path / "a1", "a", 1, [(500, 3)])
    with (run / "metrics.jsonl").open("ab") as log:
        log.write(b'{"step": 600, "kind": "eval", "\xe2\x82')
    assert run_compare(tmp_path, run, "--curves-only")["curves"][0]["steps"] == [500]


@pytest.mark.parametrize(
    ("about", "words"),
    [
        ({"format": checkpoint.FORMAT}, "policy.json lacks contract and config: the policy cannot be used"),
        ({"format": "other"}, "has format 'other', this version reads"),
    ],
)
def test_a_policy_without_its_description_is_not_played(tmp_path, about, words):
    (tmp_path / "policy.json").write_text(json.dumps(about))
    with pytest.raises(PixelarmError, match=words):
        checkpoint.read_policy(tmp_path)


def test_weights_of_another_network_are_said_not_to_fit(tmp_path):
    """As when a policy.json was copied without its policy.safetensors."""
    from policies.rollout.acting import load_policy

    cfg = TrainConfig(run="r", algo=ActorCriticConfig())
    checkpoint.save_policy(tmp_path, {"encoder.x": torch.zeros(2)}, cfg, tiny_contract(), ABOUT)
    with pytest.raises(
        PixelarmError, match="is damaged .RuntimeError.*; its policy.safetensors does not fit its policy.json"
    ):
        load_policy(tmp_path)


def test_a_safetensors_file_that_cannot_be_written_is_an_error_of_the_system(tmp_path):
    """Which a checkpoint takes for what it is, and leaves the one before it whole."""
    (tmp_path / "FILE").write_text("")
    with pytest.raises(NotADirectoryError, match="FILE/x"):
        checkpoint.save_tensors(tmp_path / "FILE" / "x", {"a": torch.zeros(2)})
    checkpoint.save_tensors(tmp_path / "y", {"a": torch.zeros(2)})
    assert (tmp_path / "y").stat().st_mode & 0o777 == 0o644

    def fill(folder):
        checkpoint.save_tensors(folder / "none" / "agent.safetensors", {"a": torch.zeros(2)})

    with pytest.raises(
        PixelarmError, match="step_000000010 could not be written: No such file.*; there is none before it"
    ):
        checkpoint.write(tmp_path / "checkpoints", 10, fill)
    kept = checkpoint.write(tmp_path / "checkpoints", 10, lambda folder: None)
    with pytest.raises(
        PixelarmError, match="step_000000020 could not be written: No such file.*; .*step_000000010 is whole"
    ):
        checkpoint.write(tmp_path / "checkpoints", 20, fill)
    assert kept.exists()

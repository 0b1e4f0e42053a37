"""Export: ONNX Runtime and torch agree, or there is no bundle."""

import numpy as np
import pytest
from conftest_policies import DETERMINISTIC, make_agent, make_cqn_as, random_observation, tiny_contract

from policies.export import onnx as export
from robot import bundle
from robot.errors import BundleError, PixelarmError


@pytest.mark.parametrize(
    "options",
    [
        ["augmentation=[shift]"],
        ["augmentation=[{crop: {size: 28}}]"],
        ["augmentation=[]"],
        DETERMINISTIC,
        ["encoder.history=flow"],
        [*DETERMINISTIC, "prior=clone", "gripper=values"],
        None,
    ],
    ids=["shift", "crop", "none", "deterministic", "flow", "hybrid", "cqn_as"],
)
def test_onnx_equals_torch(options):
    contract = tiny_contract(history=3 if options == ["encoder.history=flow"] else 1)
    agent = make_cqn_as(contract) if options is None else make_agent(contract, *options)
    policy = bundle.Policy(export.to_onnx(agent.policy), contract, {})
    rng = np.random.default_rng(0)
    difference = export.check_parity(policy, agent.policy, [random_observation(contract, rng) for _ in range(8)])
    assert difference < export.TOLERANCE


def test_a_network_that_differs_is_refused(contract, agent):
    policy = bundle.Policy(export.to_onnx(agent.policy), contract, {})
    other = make_agent(contract, seed=1)
    with pytest.raises(BundleError, match="differs from torch by .* not exported"):
        export.check_parity(policy, other.policy, [random_observation(contract, np.random.default_rng(0))])


def test_a_network_that_answers_nan_is_refused(contract, agent):
    import torch

    with torch.no_grad():
        agent.policy.actor.head[-1].bias.fill_(float("nan"))
    policy = bundle.Policy(export.to_onnx(agent.policy), contract, {})
    with pytest.raises(BundleError, match="not exported"):
        export.check_parity(policy, agent.policy, [random_observation(contract, np.random.default_rng(0))])


# ------------------------------------------------------------------------------------------------------- the command
@pytest.mark.parametrize(
    ("options", "words"),
    [
        (["--out", "FILE/bundle"], "nothing can be written into .*FILE: File exists"),
        (["--out", "there"], "there exists already; choose another name or remove it"),
        (["--evaluation", "list.json"], "must hold a JSON object"),
        (["--evaluation", "other.json"], "is no result of `pixelarm eval --json`: it must hold success, n, low, high"),
        (["--evaluation", "there"], "there cannot be read: Is a directory"),
        (["--evaluation", "none.json"], "none.json does not exist"),
    ],
)
def test_what_cannot_be_exported_is_refused_before_the_export(options, words, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(export, "export", lambda *_: pytest.fail("exported"))
    for file, text in (("FILE", ""), ("run/policy.json", "{}"), ("list.json", "[]"), ("other.json", '{"n": 3}')):
        (tmp_path / file).parent.mkdir(exist_ok=True)
        (tmp_path / file).write_text(text)
    (tmp_path / "there").mkdir()
    with pytest.raises(PixelarmError, match=words):
        export.main(["run", *options])

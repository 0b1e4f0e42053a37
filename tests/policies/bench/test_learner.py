"""The learner's benchmark: the baseline's losses are the agent's, the rows' arithmetic by hand,
and one tiny run of the command.
"""

import dataclasses
import json

import numpy as np
import pytest
import torch
from conftest_policies import make_agent, random_episode, tiny_contract

from policies.bench import learner as bench_learner
from policies.bench import updates
from policies.bench.eager_curl import EagerCURL
from policies.bench.learner import RECIPES, LearnerRow, table
from policies.bench.updates import configured, contract_of
from policies.data.replay import Replay
from robot.errors import PixelarmError, UnknownName
from sim.bench.harness import Sample

CURL = [
    "encoder.convs=curl", "encoder.init=orthogonal", "encoder.tanh=false", "encoder.target_rate=0.05",
    "auxiliary=[info_nce]", "critic.mlp.members=2", "critic.mlp.subset=2", "critic.mlp.layer_norm=false",
    "actor.gaussian.backup_entropy=true", "policy_average=1.0",
    "augmentation=[{crop: {size: 28}}]", "actor.gaussian.temperature=0.1",
]  # fmt: skip


def curl_agent(*overrides):
    contract = dataclasses.replace(tiny_contract(2), cameras=tiny_contract().cameras[:1], proprio=())
    return make_agent(contract, *CURL, *overrides)


def batch_of(agent):
    replay = Replay(agent.contract, 100)
    for seed in range(3):
        replay.add_episode(random_episode(agent.contract, 8, seed))
    return replay.sample(10, np.random.default_rng(0))


def test_the_baselines_losses_are_the_agents():
    """Equal weights, views and noise. With a rate of 0 nothing moves,
    so the actor sees the critics that were just judged.
    """
    agent = curl_agent("learning_rate=0.0")
    baseline, batch = EagerCURL(agent), batch_of(agent)
    views, noises, view, noise = [], [], agent.pixels, agent.noise
    agent.pixels = lambda observation: views.append(view(observation)) or views[-1]
    agent.noise = lambda rows: noises.append(noise(rows)) or noises[-1]
    expected = agent.update(batch)
    anchor, after, positive = ((stacked + 0.5) * 255 for stacked in views)
    action = agent.scale.to_network(batch.action)
    critic = baseline.critic_loss(anchor, action, batch.reward, batch.discount, after, noises[0])
    actor, log_prob = baseline.actor_loss(anchor, noises[1])
    assert torch.allclose(critic, expected["critic_loss"], rtol=1e-4)
    assert torch.allclose(actor, expected["actor_loss"], rtol=1e-4, atol=1e-5)
    assert torch.allclose(-log_prob.mean(), expected["entropy"], rtol=1e-4)
    assert torch.allclose(baseline.contrastive_loss(anchor, positive), expected["info_nce"], rtol=1e-4)


def test_the_baseline_learns():
    """Every weight moves in two updates; the actor's own steps leave the shared convolutions alone."""
    agent = curl_agent()
    baseline, batch = EagerCURL(agent), batch_of(agent)
    before = [p.detach().clone() for m in (baseline.critic, baseline.actor, baseline.target) for p in m.parameters()]
    alpha = baseline.log_alpha.item()
    first, second = baseline.update(batch), baseline.update(batch)
    after = [p for m in (baseline.critic, baseline.actor, baseline.target) for p in m.parameters()]
    assert not any(torch.equal(a, b) for a, b in zip(before, after)) and baseline.log_alpha.item() != alpha
    assert all(torch.isfinite(loss) for loss in {**first, **second}.values())
    baseline.critic.zero_grad()
    baseline.actor_loss(baseline.random_crop(next(iter(batch.obs.values()))), torch.zeros(10, 4))[0].backward()
    assert all(p.grad is None for p in baseline.critic.encoder.convs.parameters())


def test_crops_are_windows_of_their_own_image():
    baseline = EagerCURL(curl_agent())
    images = torch.arange(10 * 6 * 32 * 32).view(10, 6, 32, 32)
    crops = baseline.random_crop(images)
    assert crops.shape == (10, 6, 28, 28)
    top, left = (crops[:, 0, 0, 0].long() % 1024) // 32, crops[:, 0, 0, 0].long() % 32
    assert top.unique().numel() > 1 and left.unique().numel() > 1
    for image, crop, y, x in zip(images, crops, top, left):
        assert torch.equal(image[:, y : y + 28, x : x + 28].float(), crop)


def test_the_baseline_is_curls_alone():
    with pytest.raises(PixelarmError, match="one camera, no proprioception"):
        EagerCURL(make_agent(tiny_contract()))


def row(device, recipe="curl", target=2.0):
    # units of 2 updates on a CPU: stock 2 in 4 s of processor time, ours 10 in 5 s; 8 s on the clock
    settings = {"batch": 128, "precision": "32-true", "compile": "off", "pixels": 100, "cameras": 1, "history": 3}
    notes = {"first_updates_s": [3.0, 1.0], "parts": {"sampling": 0.1, "augmentation": 0.1, "learning": 0.8}}
    ours, stock = [Sample(10, 5.0, 8.0)], [Sample(2, 4.0, 8.0)]
    made = LearnerRow("k", f"{recipe}, 32-true, off", "update", target, ours, stock, recipe, device, settings, notes)
    made.count_updates()
    return made


def test_rates_count_updates_on_the_devices_clock():
    """CPU: 20 updates in 5 s of processor time = 4/s against 4 in 4 s = 1/s.
    GPU: units of 20: 200 in 8 s on the clock = 25/s.
    """
    cpu = row("cpu").to_dict()
    assert cpu["ours"]["median_per_cpu_s"] == 4.0 and cpu["ratio"]["median"] == 4.0 and cpu["reached"]
    assert cpu["shares"] == {"sampling": 0.1, "augmentation": 0.1, "learning": 0.8} and cpu["batch"] == 128
    gpu = row("cuda", "ferm_plus").to_dict()
    assert gpu["ours"]["median_per_cpu_s"] == 25.0 and gpu["ratio"]["median"] == 5.0
    assert gpu["speed_target"] == 300.0 and not gpu["speed_reached"]


def test_the_table_shows_rate_shares_ratio_and_bar():
    line = table([row("cpu")]).splitlines()[1]
    assert line.split()[:10] == ["curl", "1x100px", "x3", "128", "32-true", "off", "4", "3", "10%", "10%"]
    assert line.endswith("80%   4x (4..4), target 2x")
    assert "busy with something else during: curl, 32-true, off" in table(
        [row("cpu")]
    )  # 8 s of the clock for 5 s of work
    assert table([row("cuda", "ferm_plus")]).splitlines()[1].endswith("target 300/s")


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_has_a_contract_without_a_simulator(recipe):
    cfg = configured(recipe, batch=7)
    contract = contract_of(cfg)
    assert cfg.experiment == recipe and cfg.recipe.batch_size == 7
    assert contract.cameras[0].shape == (cfg.task.image_size, cfg.task.image_size, 3)
    assert (len(contract.proprio) == 0) == cfg.task.name.startswith("dmc/")


def test_parts_add_up_and_leave_the_agent_as_it_was(monkeypatch):
    monkeypatch.setattr(updates, "SOME_S", 0.0)
    agent = curl_agent()
    batch, clock = batch_of(agent), iter(range(10_000))
    # a clock that ticks once each time it is asked: of an update sampling takes 1 tick, and each of 3 views 1 of the
    # update's 7
    found = updates.parts(agent, lambda: batch, 0.0, lambda: next(clock))
    assert found == {"sampling": 1.0, "augmentation": 3.0, "learning": 4.0}
    assert "pixels" not in vars(agent)


def test_wrong_arguments_are_refused_in_words(monkeypatch):
    for arguments, error, words in (
        (["--recipes", "curl,sac"], UnknownName, "unknown recipe 'sac'; the valid names are: atc, curl, "),
        (["--against", "stock"], UnknownName, "measure against 'stock'; the valid names are: eager, eager-kept-memory"),
        (["--against", "eager", "--recipes", "rad"], PixelarmError, "add it to --recipes, got rad"),
        (["--device", "tpu"], UnknownName, "device 'tpu'; the valid names are: auto, cpu, cuda"),
        (["--compile", "fast"], UnknownName, "'fast'; the valid names are: cuda-graphs, default, off"),
        (["--precision", "fp8"], UnknownName, "'fp8'; the valid names are: 32-true, auto, bf16-mixed"),
        (["--batch", "1"], PixelarmError, "--batch must be at least 2"),
        (["--seconds", "0"], PixelarmError, "--seconds must be positive and --rounds at least 1, got 0 and 5"),
    ):
        with pytest.raises(error, match=words):
            bench_learner.main(arguments)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(PixelarmError, match="torch finds no CUDA device"):
        bench_learner.main(["--device", "cuda"])
    with pytest.raises(PixelarmError, match="cuda-graphs needs a CUDA device"):
        bench_learner.main(["--device", "cpu", "--compile", "cuda-graphs"])


@pytest.mark.slow
@pytest.mark.train
@pytest.mark.thorough
def test_a_tiny_run_against_the_baseline(tmp_path, capsys):
    arguments = (
        "--recipes curl,ferm_plus --against eager-kept-memory --device cpu --batch 4 --seconds 0.2 --rounds 2 --json"
    )
    assert bench_learner.main([*arguments.split(), "--out", str(tmp_path)]) == 0
    printed = json.loads(capsys.readouterr().out)
    assert printed == json.loads((tmp_path / "bench.json").read_text())
    curl, small = printed["rows"]
    assert curl["recipe"] == "curl" and curl["target"] == 2.0 and curl["ratio"]["median"] > 0 and curl["pixels"] == 100
    assert small["recipe"] == "ferm_plus" and "ratio" not in small and small["cameras"] == 2
    for found in printed["rows"]:
        assert found["batch"] == 4 and found["ours"]["n"] >= 4 and found["compile"] == "off"
        assert sum(found["shares"].values()) == pytest.approx(1.0) and min(found["first_updates_s"]) > 0
    assert (
        printed["clock"] == "processor"
        and printed["against"] == "eager-kept-memory"
        and printed["versions"]["torch"]
        and "gpu" in printed["hardware"]
    )
    assert (tmp_path / "bench.png").stat().st_size > 10_000

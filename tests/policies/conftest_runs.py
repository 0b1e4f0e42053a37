"""Folders as training leaves them, bundles with a constant policy, and `pixelarm compare` on them."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import numpy as np
import pytest
import torch
from conftest_policies import tiny_contract
from omegaconf import OmegaConf

from policies.config import TaskConfig, TrainConfig
from policies.evaluation.compare import main
from policies.rl.config import ActorCriticConfig
from policies.runs import checkpoint
from robot import bundle
from robot.stats import wilson


def write_run(
    folder: Path,
    experiment: str,
    seed: int,
    evals=(),
    *,
    task="lift",
    n=30,
    contract=None,
    repeat=1,
    finished=True,
    steps=2000,
    **more,
) -> Path:
    """A run of ``experiment`` whose validation gave ``evals``: (step, successes of n), or (step, return)."""
    contract = contract or dataclasses.replace(tiny_contract(), task=task)
    cfg = TrainConfig(
        seed=seed, experiment=experiment, run=str(folder), task=TaskConfig(name=task), algo=ActorCriticConfig(), **more
    )
    cfg = dataclasses.replace(cfg, recipe=dataclasses.replace(cfg.recipe, steps=steps))
    folder.mkdir(parents=True)
    (folder / "config.yaml").write_text(OmegaConf.to_yaml(OmegaConf.structured(cfg)))
    weights = {"weight": torch.tensor([float(seed), float(len(experiment))])}

    def save(name, step):
        about = {"step": step, "frames": step * repeat}
        checkpoint.save_policy(folder / name, weights, cfg, contract, about)

    save("cloned", 0)
    lines = [{"step": 0, "kind": "pretrain", "cloning_loss": 1.0}]
    for step, value in evals:
        found = {"metric": "return", "return": value, "n": n}
        if task.startswith("dmc/") is False:
            found = {"metric": "success", **wilson(value, n).to_dict()}
        lines += [{"step": step, "kind": "train", "q": 0.1}, {"step": step, "kind": "eval", **found}]
        save("policy", step)
    if finished:
        save("last", evals[-1][0] if evals else steps)
    (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return folder


def write_bundle(folder: Path, contract, action, **card) -> Path:
    """A bundle whose network answers the same action whatever it sees."""
    onnx = pytest.importorskip("onnx")
    h, numpy_helper = onnx.helper, onnx.numpy_helper
    inputs = [
        h.make_tensor_value_info(c.name, onnx.TensorProto.UINT8, [contract.history, *c.shape]) for c in contract.cameras
    ] + [h.make_tensor_value_info(p.name, onnx.TensorProto.FLOAT, [contract.history, p.size]) for p in contract.proprio]
    shape = [contract.chunk, contract.action.size]
    constant = numpy_helper.from_array(np.resize(np.asarray(action, np.float32), shape), "constant")
    graph = h.make_graph(
        [h.make_node("Identity", ["constant"], ["action"])], "constant policy", inputs,
        [h.make_tensor_value_info("action", onnx.TensorProto.FLOAT, shape)], [constant],
    )  # fmt: skip
    model = h.make_model(graph, opset_imports=[h.make_opsetid("", 18)], ir_version=9)
    return bundle.write(folder, model.SerializeToString(), contract, {"config": {}, **card})


def run_compare(tmp_path: Path, *argv) -> dict:
    assert main([*map(str, argv), "--out", str(tmp_path / "out")]) == 0
    return json.loads((tmp_path / "out" / "compare.json").read_text())

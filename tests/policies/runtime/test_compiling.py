"""Ways to run an update faster: what is compiled is the same arithmetic,
and what a machine cannot do is refused in words.
"""

import subprocess
import sys
from dataclasses import replace

import numpy as np
import pytest
import torch
from conftest_policies import make_agent, random_episode
from torch._dynamo.testing import CompileCounterWithBackend

from policies.data.replay import Lookup, Replay
from policies.runtime import compiling, precision
from policies.runtime.compiling import Compiler
from policies.runtime.precision import choose_precision
from robot.errors import PixelarmError, UnknownName

KINDS = {
    "sac": [],
    "drqv2": ["actor=deterministic", "policy_average=1.0", "actor.deterministic.noise='linear(1.0, 0.1, 4)'"],
    "curl": ["auxiliary=[info_nce]", "encoder.target_rate=0.05", "actor.gaussian.backup_entropy=true", "views=2"],
    "atc": ["auxiliary=[temporal_info_nce]", "encoder.from_critic=false"],
}


def batches(agent, count=4):
    replay = Replay(agent.contract, 100, Lookup(agent.cfg.discount, ahead=1))
    for seed in range(3):
        replay.add_episode(random_episode(agent.contract, 8, seed))
    rng = np.random.default_rng(0)
    sampled = [replay.sample(8, rng) for _ in range(count)]
    return [replace(batch, imitate=batch.imitate[:4]) for batch in sampled]


@pytest.mark.parametrize("kind", KINDS)
def test_compiled_losses_are_those_of_the_plain_ones(contract, kind, monkeypatch):
    """Captured whole, without a break, and once: neither the cloning weight nor the exploration noise
    of later updates is a new program.
    """
    counter = CompileCounterWithBackend("aot_eager")
    monkeypatch.setitem(compiling.MODES, "default", {"backend": counter, "fullgraph": True})
    plain = make_agent(contract, *KINDS[kind])
    fast = make_agent(contract, *KINDS[kind], compile="default")
    programs = 0
    for number, batch in enumerate(batches(plain)):
        weight = 1.0 - 0.1 * number
        expected, found = plain.update(batch, weight), fast.update(batch, weight)
        assert expected.keys() == found.keys()
        assert all(torch.allclose(expected[name], found[name], rtol=1e-3, atol=1e-4) for name in expected)
        programs = counter.frame_count if number == 0 else programs
        assert counter.frame_count == programs >= 3
    for mine, theirs in zip(fast.critics.parameters(), plain.critics.parameters()):
        assert torch.allclose(mine, theirs, rtol=1e-3, atol=1e-4)


@pytest.mark.slow
@pytest.mark.thorough
def test_a_real_compiler_makes_the_same_update(contract):
    plain = make_agent(contract)
    fast = make_agent(contract, compile="default")
    for batch in batches(plain, 2):
        expected, found = plain.update(batch), fast.update(batch)
        assert all(torch.allclose(expected[name], found[name], rtol=1e-3, atol=1e-4) for name in expected)


def test_a_compiled_run_goes_on_from_its_state(contract, monkeypatch):
    monkeypatch.setitem(compiling.MODES, "default", {"backend": "aot_eager"})
    made = [make_agent(contract, seed=seed, compile="default") for seed in (0, 1)]
    first, second = made
    several = batches(first)
    first.update(several[0], 1.0)
    second.load_state_dict({k: v.clone() for k, v in first.state_dict().items()})
    for batch in several[1:]:
        assert first.update(batch, 1.0) == second.update(batch, 1.0)
    assert all(torch.equal(v, second.state_dict()[k]) for k, v in first.state_dict().items())


def test_graphs_without_a_gpu_are_refused():
    with pytest.raises(PixelarmError, match="cuda-graphs needs a CUDA device, this run is on cpu.*compile=off"):
        Compiler("cuda-graphs", torch.device("cpu"))
    with pytest.raises(UnknownName, match=r"trainer.compile.* 'max'; the valid names are: .*cuda-graphs"):
        Compiler("max", torch.device("cpu"))


def test_what_a_graph_returned_is_copied_before_the_next_one():
    graphs, plain = Compiler("cuda-graphs", torch.device("cuda")), Compiler("off", torch.device("cuda"))
    metrics = {"q": torch.tensor(1.0)}
    kept = graphs.kept(metrics)
    assert plain.kept(metrics)["q"] is metrics["q"]
    metrics["q"].fill_(2.0)
    assert kept["q"] == 1.0


def test_a_machine_without_a_cpp_compiler_is_told_so(monkeypatch):
    from torch._inductor import cpp_builder
    from torch._inductor.exc import InvalidCxxCompiler

    def none() -> str:
        raise InvalidCxxCompiler

    monkeypatch.setattr(cpp_builder, "get_cpp_compiler", none)
    with pytest.raises(PixelarmError, match="needs a C\\+\\+ compiler.*install g\\+\\+"):
        Compiler("default", torch.device("cpu"))
    assert not Compiler("off", torch.device("cpu")).on


@pytest.mark.parametrize(
    ("instructions", "chosen"), [("avx512_bf16", "bf16-mixed"), ("amx_bf16", "bf16-mixed"), ("avx2", "32-true")]
)
def test_the_precision_is_what_the_processor_computes_in(instructions, chosen, monkeypatch):
    monkeypatch.setattr(precision.torch.cpu, "get_capabilities", lambda: {instructions: True})
    assert choose_precision("auto", "cpu") == chosen
    assert choose_precision("32-true", "cpu") == "32-true" and choose_precision("bf16-mixed", "cpu") == "bf16-mixed"


def test_an_unknown_precision_is_refused():
    with pytest.raises(UnknownName, match="trainer.precision.* 'fp8'; the valid names are: 32-true, auto, bf16-mixed"):
        choose_precision("fp8", "cpu")


def test_values_keep_their_digits_in_mixed_precision(contract):
    """bf16 has 8 significant bits: near 100 its numbers are 0.5 apart. Heads pinned to 100.1 say 100.1 all the same."""
    agent = make_agent(contract, precision="bf16-mixed")
    for head in agent.critics.heads:
        torch.nn.init.zeros_(head[-1].weight)
        torch.nn.init.constant_(head[-1].bias, 100.1)
    batch = batches(agent, 1)[0]
    with agent.fabric.autocast():
        convolved = agent.encoder(agent.pixels(batch.obs))
        values = agent.critics.predict(convolved, agent.normalizer(batch.obs), agent.scale.to_network(batch.action))
    assert convolved.dtype == torch.bfloat16 and torch.allclose(values, torch.tensor(100.1))


@pytest.mark.skipif(sys.platform != "linux", reason="glibc's malloc")
def test_freed_memory_stays():
    """128 MiB are allocated and freed: the process's memory falls by them as a rule, and stays after the call."""
    program = """
import sys, numpy
from policies.runtime.allocator import keep_freed_memory
if sys.argv[1] == "keep": assert keep_freed_memory()
def resident(): return int(open("/proc/self/statm").read().split()[1]) * 4096
before = resident()
block = numpy.ones(128 << 20, numpy.uint8)
del block
print((resident() - before) >> 20)
"""
    grown = [int(subprocess.check_output([sys.executable, "-c", program, how])) for how in ("keep", "not")]
    assert grown[0] > 120 and grown[1] < 10

"""Moments that went through a file serve their parameters as before."""

import torch
from conftest_policies import make_agent, tiny_contract
from lightning.fabric import Fabric
from torch import nn

from policies.rl.optimizers import Optimizers


def stepped(weight: torch.Tensor, gradients: list[torch.Tensor], reload_before: int) -> torch.Tensor:
    """The weight after Adam's steps; before one of them the moments are saved contiguous, as files hold them."""
    parameter = nn.Parameter(weight.clone())
    optimizers = Optimizers(Fabric(accelerator="cpu", devices=1), clip=0.0)
    optimizers.add("convs", [parameter], 1e-2, 0.9)
    for number, gradient in enumerate(gradients):
        if number == reload_before:
            optimizers.load_state_dict({k: v.contiguous().clone() for k, v in optimizers.state_dict().items()})
        parameter.grad = gradient.clone()
        optimizers.step("convs")
    return parameter.detach()


def test_moments_of_weights_with_channels_last_go_on_to_the_bit():
    """The fused kernel walks through memory: moments in another order than their weight would be other moments."""
    torch.manual_seed(0)
    weight = torch.rand(8, 3, 5, 5).to(memory_format=torch.channels_last)
    gradients = [torch.rand_like(weight) for _ in range(4)]
    assert torch.equal(stepped(weight, gradients, 2), stepped(weight, gradients, -1))


def test_moments_that_were_loaded_lie_like_their_parameters():
    agent, other = (make_agent(tiny_contract()) for _ in range(2))
    for _, optimizer in agent.optimizers._named.items():
        for parameter in (p for group in optimizer.param_groups for p in group["params"]):
            parameter.grad = torch.ones_like(parameter)
        optimizer.step()
    other.load_state_dict({k: v.contiguous() for k, v in agent.state_dict().items()})
    for optimizer in other.optimizers._named.values():
        for parameter, moments in optimizer.state.items():
            assert moments["exp_avg"].stride() == moments["exp_avg_sq"].stride() == parameter.stride()

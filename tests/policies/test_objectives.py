"""InfoNCE against numbers worked out by hand."""

import math

import pytest
import torch

from policies.contrastive import info_nce


def test_equal_similarities_give_ln_batch():
    # every logit 0: each row's softmax is uniform over 4 keys, so the loss is ln 4
    zero = torch.zeros(4, 3)
    assert info_nce(zero, zero, torch.eye(3)).item() == pytest.approx(math.log(4))


def test_two_by_two_by_hand():
    # query = [[1, 0], [0, 1]], key = [[2, 0], [0, 1]], W = I: logits [[2, 0], [0, 1]]
    # row 0: -ln(e^2 / (e^2 + 1)) = 0.126928; row 1: -ln(e / (e + 1)) = 0.313262; mean 0.220095
    loss = info_nce(torch.eye(2), torch.tensor([[2.0, 0.0], [0.0, 1.0]]), torch.eye(2))
    assert loss.item() == pytest.approx(0.220095, abs=1e-6)


def test_the_gradient_reaches_query_and_similarity_but_not_the_key():
    query, key, bilinear = (
        torch.randn(4, 3, requires_grad=True),
        torch.randn(4, 3, requires_grad=True),
        torch.randn(3, 3, requires_grad=True),
    )
    info_nce(query, key, bilinear).backward()
    assert query.grad.abs().sum() > 0 and bilinear.grad.abs().sum() > 0 and key.grad is None


def test_large_similarities_do_not_overflow():
    loss = info_nce(1e3 * torch.eye(3), 1e3 * torch.eye(3), torch.eye(3))
    assert loss.item() == pytest.approx(0.0)

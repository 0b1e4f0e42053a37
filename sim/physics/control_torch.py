"""The controllers' laws in torch, batched: readable, and what a GPU path and the tests compare against.

``sim/physics/control.py`` computes the same for one world in compiled code.
"""

from __future__ import annotations

import math

import torch

from sim.physics.control import DAMPING_RATIO, KP, POSTURE_KP


def osc_torque(
    mass: torch.Tensor,
    jacobian: torch.Tensor,
    position: torch.Tensor,
    rotation: torch.Tensor,
    goal_position: torch.Tensor,
    goal_rotation: torch.Tensor,
    q: torch.Tensor,
    dq: torch.Tensor,
    posture: torch.Tensor,
    bias: torch.Tensor,
) -> torch.Tensor:
    """Operational-space torques ``(B, n)`` N m of ``B`` arms with ``n`` joints.

    Args:
        mass: ``(B, n, n)`` joint-space inertia.
        jacobian: ``(B, 6, n)`` of the end effector, linear rows first, world frame.
        position, goal_position: ``(B, 3)`` m; rotation, goal_rotation: ``(B, 3, 3)``.
        q, dq, posture: ``(B, n)`` rad and rad/s; bias: ``(B, n)`` gravity and Coriolis torques.
    """
    kd = 2.0 * math.sqrt(KP) * DAMPING_RATIO
    twist = (jacobian @ dq.unsqueeze(-1)).squeeze(-1)
    force = KP * (goal_position - position) - kd * twist[:, :3]
    moment = KP * orientation_error(goal_rotation, rotation) - kd * twist[:, 3:]

    inverse = torch.linalg.inv(mass)
    linear, angular = jacobian[:, :3], jacobian[:, 3:]
    wrench = torch.cat(
        [_inertia(linear, inverse) @ force.unsqueeze(-1), _inertia(angular, inverse) @ moment.unsqueeze(-1)], 1
    )

    generalised_inverse = inverse @ jacobian.mT @ _inertia(jacobian, inverse)
    projector = torch.eye(q.shape[1], dtype=q.dtype, device=q.device) - generalised_inverse @ jacobian
    pull = POSTURE_KP * (posture - q) - 2.0 * math.sqrt(POSTURE_KP) * dq
    posture_torque = projector.mT @ mass @ pull.unsqueeze(-1)
    return (jacobian.mT @ wrench + posture_torque).squeeze(-1) + bias


def orientation_error(goal: torch.Tensor, current: torch.Tensor) -> torch.Tensor:
    """``(B, 3)``: half the sum of the cross products of matching axes, the rotation vector for small errors."""
    return 0.5 * torch.linalg.cross(current, goal, dim=1).sum(dim=2)


def _inertia(jacobian: torch.Tensor, mass_inverse: torch.Tensor) -> torch.Tensor:
    """Operational-space inertia ``(J M^-1 J^T)^+``."""
    return torch.linalg.pinv(jacobian @ mass_inverse @ jacobian.mT)

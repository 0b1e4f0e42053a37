"""The families of policies. To add one: its file, and its line here."""

from policies.policy import POLICIES, Family
from policies.rl.actor_critic import ActorCritic
from policies.rl.config import ActorCriticConfig, CqnAsConfig
from policies.rl.cqn_as import CqnAs, CqnAsPolicy
from policies.rl.pixel_policy import ActorPolicy

POLICIES["actor_critic"] = Family(ActorCriticConfig, ActorPolicy.make, ActorCritic)
POLICIES["cqn_as"] = Family(CqnAsConfig, CqnAsPolicy.make, CqnAs)

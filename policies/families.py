"""The families of policies. To add one: its file, and its line here."""

from policies.imitation.config import ChunkBcConfig
from policies.policy import POLICIES, Family
from policies.rl.config import ActorCriticConfig, CqnAsConfig
from policies.skills.config import FistConfig, SpirlConfig

POLICIES["actor_critic"] = Family(
    ActorCriticConfig, "policies.rl.choice:make_policy", "policies.rl.actor_critic:ActorCritic"
)
POLICIES["cqn_as"] = Family(CqnAsConfig, "policies.rl.cqn_as.agent:CqnAsPolicy.make", "policies.rl.cqn_as.agent:CqnAs")
POLICIES["chunk_bc"] = Family(ChunkBcConfig, "policies.imitation.bc:ChunkBc")
POLICIES["fist"] = Family(FistConfig, "policies.skills.fist:Fist")
POLICIES["spirl"] = Family(SpirlConfig, "policies.skills.spirl:SpirlPolicy", "policies.skills.spirl:Spirl")

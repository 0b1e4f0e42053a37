"""The families of policies. To add one: its file, and its line here."""

from policies.imitation.config import BetConfig, ChunkBcConfig, VqBetConfig
from policies.policy import POLICIES, Family
from policies.rl.config import ActorCriticConfig, CqnAsConfig
from policies.skills.config import FistConfig, PlayLmpConfig, SailorConfig, SpirlConfig, TacoRlConfig

POLICIES["actor_critic"] = Family(
    ActorCriticConfig, "policies.rl.choice:make_policy", "policies.rl.actor_critic:ActorCritic"
)
POLICIES["cqn_as"] = Family(CqnAsConfig, "policies.rl.cqn_as.agent:CqnAsPolicy.make", "policies.rl.cqn_as.agent:CqnAs")
POLICIES["chunk_bc"] = Family(ChunkBcConfig, "policies.imitation.bc:ChunkBc")
POLICIES["bet"] = Family(BetConfig, "policies.imitation.bet:Bet")
POLICIES["vqbet"] = Family(VqBetConfig, "policies.imitation.vqbet:VqBet")
POLICIES["fist"] = Family(FistConfig, "policies.skills.fist:Fist")
POLICIES["play_lmp"] = Family(PlayLmpConfig, "policies.skills.play_lmp:PlayLmp")
POLICIES["sailor"] = Family(SailorConfig, "policies.skills.sailor:Sailor")
POLICIES["spirl"] = Family(SpirlConfig, "policies.skills.spirl:SpirlPolicy", "policies.skills.spirl:Spirl")
POLICIES["taco_rl"] = Family(TacoRlConfig, "policies.skills.taco_rl:TacoRl")

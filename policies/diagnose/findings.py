"""From numbers to findings: what is healthy, and one sentence of advice where something is not.

The source of each limit stands beside it, and again in docs/how-to/diagnose.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from policies.diagnose.census import DROPPED, MISSED, NEVER, NOT_RELEASED, PUT_DOWN, SHORT, TIME

LOG, CENSUS, VALUES, SIGHT, NOISE = "log", "census", "values", "sight", "noise"


@dataclass(frozen=True)
class Rule:
    """A number's healthy range, ends included, and what to do on either side of it.

    Attributes:
        key: of the number.
        form: how it is written.
        source: where the limits come from.
    """

    key: str
    section: str
    title: str
    source: str
    low: float | None = None
    high: float | None = None
    if_low: str = ""
    if_high: str = ""
    form: str = "{:.2f}"

    @property
    def healthy(self) -> str:
        """The range in words."""
        low, high = (None if end is None else self.form.format(end) for end in (self.low, self.high))
        if low is not None and high is not None:
            return f"{low} to {high}"
        return f"{low} or more" if low is not None else f"{high} or less"


@dataclass(frozen=True)
class Finding:
    """One number, judged. ``advice`` is empty where it is healthy."""

    key: str
    section: str
    title: str
    value: float
    shown: str
    healthy: str
    ok: bool
    advice: str = ""

    @property
    def sentence(self) -> str:
        """The finding as one sentence."""
        return f"{self.title}: {self.shown} (healthy: {self.healthy})" + (f": {self.advice}." if self.advice else ".")


OURS = "ours"
CLASS_LIMIT = 0.1  # share of all episodes
_CLASS_ADVICE = {
    NEVER: "the policy does not find the object: see Sight; demonstrations must cover the whole area of starts",
    MISSED: "the hand comes but does not grasp: look at the strips, at Sight's aim and at the noise; values that "
    "choose the gripper (algo.gripper=values) explore closing it",
    DROPPED: "the grasp does not last: the gripper opens on the way, or holds the edge; look at the strips, and try "
    "algo.gripper=values",
    PUT_DOWN: "the object is let go at a wrong place: see Sight's goal, and the values near the end",
    NOT_RELEASED: "the last part is missing: opening was never rewarded often enough; see Values near the end, and try "
    "algo.gripper=values",
    SHORT: "the task is done but does not stay done: train with task.hold_steps, and record demonstrations with the "
    "same --hold-steps",
    TIME: "it is too slow, or stops half-way: look at the strips for a place where it dithers, and see Values",
}

RULES: tuple[Rule, ...] = (
    Rule(
        "success", CENSUS, "successful test episodes", OURS, low=0.9,
        if_low="see which failures there are most of below",
    ),
    *(
        Rule(f"share {name}", CENSUS, f"episodes that ended so: {name}", OURS, high=CLASS_LIMIT, if_high=advice)
        for name, advice in _CLASS_ADVICE.items()
    ),
    Rule(
        "train_success_early", LOG, "early training episodes that were rewarded", "HIL-SERL's walkthrough", low=0.33,
        if_low="give better or more demonstrations, or help early episodes: what is rewarded often is learned fast",
    ),
    Rule(
        "exploring_gap", LOG, "validation success minus that of exploring, late", OURS, low=-0.25, high=0.25,
        if_low="what is evaluated is worse than what explores: see who acted, and whether algo.policy_average lags",
        if_high="exploring spoils what the policy can do: less noise (algo.actor.deterministic.noise), or a lower "
        "algo.actor.gaussian.target_entropy",
    ),
    Rule(
        "prior_acted_late", LOG, "late actions that were the prior's", "IBRL", high=0.8,
        if_high="the actor is hardly ever preferred to its prior: give the critics more updates, or let the other "
        "proposal be tried more often (algo.try_other)",
    ),
    Rule(
        "q_late", LOG, "mean Q, late", "a reward of 1 ends an episode", low=-0.1, high=1.1,
        if_low="values below what any episode can bring: fewer critics in the minimum (algo.critic.mlp.subset), or "
        "bounded targets (algo.value_range=[0,1])",
        if_high="values above what any episode can bring: bound the targets (algo.value_range=[0,1]), use LayerNorm "
        "(algo.critic.mlp.layer_norm=true), and look at alpha",
    ),
    Rule(
        "critic_loss_growth", LOG, "critic loss, late over early", OURS, high=3.0,
        if_high="the critics diverge: lower algo.learning_rate or algo.target_rate, or bound the targets "
        "(algo.value_range=[0,1])",
    ),
    Rule(
        "alpha_late", LOG, "weight of entropy, late", "ten times HIL-SERL's 0.01", high=0.1, form="{:.3f}",
        if_high="entropy outweighs a reward of 1: start with a lower algo.actor.gaussian.temperature, or lower "
        "algo.actor.gaussian.target_entropy",
    ),
    Rule(
        "cloning_loss", LOG, "cloning loss at the start", OURS, high=0.2,
        if_high="demonstrations are not imitated: raise recipe.clone_updates, and see that they agree with each other",
    ),
    Rule(
        "value_at_start", VALUES, "Q minus true return, first third of successes", OURS, low=-0.2, high=0.2,
        form="{:+.2f}",
        if_low="the reward has not travelled back to the start: algo.n_step=3, more recipe.updates_per_step, or "
        "critics that learn before the actor follows them (recipe.head_start, recipe.critic_warmup)",
        if_high="values promise too much: more critics (algo.critic.mlp.members), bounded targets "
        "(algo.value_range=[0,1])",
    ),
    Rule(
        "value_at_end", VALUES, "Q minus true return, last five steps of successes", OURS, low=-0.2, high=0.2,
        form="{:+.2f}",
        if_low="the critics do not know what success looks like: too few successes in a batch (recipe.demo_fraction), "
        "or too few updates",
        if_high="values near success are too high: bound the targets (algo.value_range=[0,1])",
    ),
    Rule(
        "value_of_failures", VALUES, "Q at the end of failures, as a share of Q in successes", OURS, high=0.5,
        if_high="the critics do not know failures: let the time limit end them (algo.time_limit=terminal), cut them "
        "earlier (recipe.episode_limit), or train longer",
    ),
    Rule(
        "aim_to_grasp_cm", SIGHT, "error of the aim at what is grasped, within 8 cm", "half a finger's play", high=1.0,
        form="{:.1f} cm",
        if_high="the encoder does not see it well enough to grasp: algo.encoder.cameras=separate, larger pictures "
        "(task.image_size), or more pre-training",
    ),
    Rule(
        "aim_to_touch_cm", SIGHT, "error of the aim at what is touched, within 8 cm", "Reach's 2.5 cm", high=2.0,
        form="{:.1f} cm",
        if_high="the encoder does not see it well enough to touch: algo.encoder.cameras=separate, larger pictures "
        "(task.image_size), or more pre-training",
    ),
    Rule(
        "noise_largest", NOISE, "largest exploration noise of a motion, in halves of its range", "IBRL's 0.1, doubled",
        high=0.2,
        if_high="the arm shakes more than the task forgives: lower algo.actor.gaussian.target_entropy, or use "
        "algo.actor=deterministic with a noise of 0.1",
    ),
)  # fmt: skip


def judge(numbers: Mapping[str, float | None], rules: Sequence[Rule] = RULES) -> list[Finding]:
    """A finding for each rule whose number is there, in the order of the rules."""
    found = []
    for rule in rules:
        value = numbers.get(rule.key)
        if value is None:
            continue
        below = rule.low is not None and value < rule.low
        above = rule.high is not None and value > rule.high
        advice = rule.if_low if below else rule.if_high if above else ""
        shown = rule.form.format(value)
        found.append(
            Finding(rule.key, rule.section, rule.title, value, shown, rule.healthy, not (below or above), advice)
        )
    return found


def table(findings: list[Finding]) -> str:
    """A compact table for a terminal, then what to do about what is not healthy."""
    if not findings:
        return "nothing could be measured"
    width = max(len(f.title) for f in findings)
    lines = [f"{'':4}{'':8}{'':{width}}  {'found':>9}  healthy"]
    for f in findings:
        lines.append(f"{'ok' if f.ok else '!!':4}{f.section:8}{f.title:{width}}  {f.shown:>9}  {f.healthy}")
    wrong = [f for f in findings if not f.ok]
    if wrong:
        lines += ["", *(f"- {f.sentence}" for f in wrong)]
    return "\n".join(lines)

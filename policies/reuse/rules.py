"""What is healthy of what a FIST policy reuses, and one sentence of advice where something is not.

The limits are ours, set beside policies that complete all subtasks; the same stand in docs/how-to/skills.md.
"""

from __future__ import annotations

from policies.diagnose.findings import OURS, Rule

TASK, LOOK_UP, SKILL = "task", "lookup", "skill"
FAR = 95  # percentile of how far demonstrations are apart, from which a looked-up state counts as far

RULES: tuple[Rule, ...] = (
    Rule(
        "completed", TASK, "completed subtasks, share of all", OURS, low=0.9,
        if_low="see below where the look-ups of the missing ones stay or go back",
    ),
    Rule(
        "pace", TASK, "control steps for a subtask, over those of demonstrations", OURS, high=1.5,
        if_high="it dithers on the way: a larger algo.haste prefers moments from which demonstrations end sooner",
    ),
    Rule(
        "far", LOOK_UP, "steps further from all demonstrations than those are apart", "ours; 0.05 of themselves",
        high=0.2,
        if_high="the arm comes to where nobody was: more demonstrations, or a larger algo.nudge, which teaches it the "
        "way back",
    ),
    Rule(
        "back", LOOK_UP, "looks back by more than a skill, an episode", OURS, high=2.0, form="{:.1f}",
        if_high="it does again what is done: states of two moments look alike, so a larger algo.haste, or "
        "algo.distance=learned with algo.object_weight=1, which tells moments apart",
    ),
    Rule(
        "switches", LOOK_UP, "changes of demonstration in 100 steps", OURS, high=30.0, form="{:.0f}",
        if_high="the goal changes all the time between demonstrations that disagree: show the task in one way, or give "
        "fewer of them (recipe.demos)",
    ),
    Rule(
        "stay", LOOK_UP, "most control steps at one moment", OURS, high=40.0, form="{:.0f}",
        if_high="it stands still, often where demonstrations pause to close the gripper: see the pictures there, and "
        "try algo.haste two or three times as large (not ten: then only ends are looked up)",
    ),
    Rule(
        "at_end", LOOK_UP, "steps that look up the end of a demonstration", OURS, high=0.2,
        if_high="demonstrations end there and leave nothing to go to: a smaller algo.haste, if subtasks are left out "
        "before, or demonstrations that go on after the last subtask",
    ),
    Rule(
        "choice", SKILL, "error of the chosen skill, of two at random", OURS, high=0.5,
        if_high="the inverse dynamics do not say which skill leads on: more updates of fine-tuning "
        "(recipe.fit_updates), or a larger algo.inverse_weight when skills are learned",
    ),
)  # fmt: skip

"""Limits: healthy up to and at each of them, advice beyond, and nothing said of what was not measured."""

import re
from pathlib import Path

import pytest

from policies.diagnose.census import CLASSES
from policies.diagnose.findings import RULES, judge, table

ENDS = [(rule, "low") for rule in RULES if rule.low is not None] + [(r, "high") for r in RULES if r.high is not None]


@pytest.mark.parametrize(("rule", "end"), ENDS, ids=lambda x: x if isinstance(x, str) else x.key)
def test_each_limit_is_healthy_at_it_and_advises_beyond(rule, end):
    limit, outwards = getattr(rule, end), {"low": -1, "high": 1}[end]
    (at,) = judge({rule.key: limit})
    (beyond,) = judge({rule.key: limit + outwards * 0.01})
    assert at.ok and not at.advice
    assert not beyond.ok and beyond.advice == getattr(rule, f"if_{end}") != ""
    assert beyond.advice in beyond.sentence and rule.healthy in beyond.sentence


def test_a_finding_is_one_sentence_with_number_range_and_advice():
    (found,) = judge({"train_success_early": 0.3})
    assert found.sentence == (
        "early training episodes that were rewarded: 0.30 (healthy: 0.33 or more): give better or more demonstrations, "
        "or help early episodes: what is rewarded often is learned fast."
    )
    assert judge({"value_at_start": -0.3})[0].sentence.startswith(
        "Q minus true return, first third of successes: -0.30 (healthy: -0.20 to +0.20): the reward has not travelled"
    )


def test_what_was_not_measured_is_not_judged():
    assert judge({}) == [] == judge({"aim_to_grasp_cm": None, "something else": 3.0})
    assert table([]) == "nothing could be measured"


def test_the_table_marks_what_to_look_at_and_says_what_to_do():
    lines = table(judge({"success": 0.95, "share dropped": 0.5})).splitlines()
    assert [line[:2] for line in lines[1:3]] == ["ok", "!!"]
    assert lines[-1].startswith("- episodes that ended so: dropped: 0.50 (healthy: 0.10 or less): ")


def test_every_class_has_advice_and_every_number_one_rule():
    keys = [rule.key for rule in RULES]
    assert len(keys) == len(set(keys)) and {f"share {name}" for name in CLASSES} <= set(keys)


def test_the_page_of_the_documentation_has_every_limit_with_its_source():
    page = (Path(__file__).parents[3] / "docs/how-to/diagnose.md").read_text()
    rows = [f"| {r.title} | {r.healthy} | {r.source} |" for r in RULES if not r.key.startswith("share ")]
    assert [row for row in rows if row not in page] == []
    assert [name for name, words in CLASSES.items() if f"| {name} | {words} |" not in page] == []


def test_options_that_advice_names_exist():
    """Those of the family whose actor and critics are the defaults, and their parts'."""
    from policies.training.train import compose

    words = " ".join(rule.if_low + " " + rule.if_high for rule in RULES)
    named = set(re.findall(r"\b(?:algo|recipe|task)\.[\w.]*\w(?:=[^\s;:,)]+(?:,\d\])?)?", words))
    assert len(named) > 10
    for option in sorted(named):
        name, _, value = option.partition("=")
        part = {"algo.actor.deterministic.noise": ["algo.actor=deterministic"]}.get(name, [])
        values = {"algo.encoder.cameras": "separate", "recipe.demo_fraction": "0.5", "recipe.episode_limit": "1.5"}
        default = values.get(
            name, "0.1" if "noise" in name or "rate" in name or "try" in name or "temp" in name else "1"
        )
        compose([*part, "experiment=ferm_plus", f"{name}={value or default}"])

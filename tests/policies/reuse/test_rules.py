"""What is healthy, and what to do where it is not."""

from pathlib import Path

import pytest

from policies.diagnose.findings import judge
from policies.reuse.rules import RULES

ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.key)
def test_advice_comes_beyond_the_limit_and_not_at_it(rule):
    limit, beyond = (rule.low, rule.low - 1.0) if rule.low is not None else (rule.high, rule.high + 1.0)
    assert judge({rule.key: limit}, RULES)[0].ok
    (found,) = judge({rule.key: beyond}, RULES)
    assert not found.ok and found.advice and found.sentence.endswith(f"): {found.advice}.")
    assert judge({rule.key: None}, RULES) == []


def test_the_page_of_skills_names_every_limit():
    page = (ROOT / "docs" / "how-to" / "skills.md").read_text()
    for rule in RULES:
        assert f"| {rule.title} | {rule.healthy} |" in page, rule.key

"""The benchmark's suites, each behind its name."""

import pytest

from policies.bench import command as bench
from robot.errors import UnknownName


@pytest.mark.parametrize("suite", bench.SUITES)
def test_every_suite_resolves_and_explains_itself(suite, capsys):
    with pytest.raises(SystemExit) as ended:
        bench.main([suite, "--help"])
    assert ended.value.code == 0 and f"usage: pixelarm bench {suite}" in capsys.readouterr().out


def test_help_names_the_suites_and_a_wrong_name_lists_them(capsys):
    assert bench.main([]) == 2 and bench.main(["--help"]) == 0
    assert f"suites: {', '.join(bench.SUITES)}" in capsys.readouterr().out
    with pytest.raises(
        UnknownName,
        match=f"unknown benchmark suite 'smi'; the valid names are: {', '.join(sorted(bench.SUITES))}",
    ):
        bench.main(["smi"])

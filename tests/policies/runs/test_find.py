"""Finding runs, and putting those of one configuration into one group."""

import dataclasses

import pytest
from conftest_policies import tiny_contract
from conftest_runs import write_bundle, write_run
from omegaconf import OmegaConf

from policies.config import RecipeConfig
from policies.runs.find import find, make_groups
from robot.errors import PixelarmError


def test_runs_that_differ_in_the_seed_alone_are_one_group(tmp_path):
    paths = [write_run(tmp_path / f"{e}{s}", e, s) for e in ("ferm_plus", "curl") for s in (2, 1)]
    groups, notes = make_groups(find(paths)[0])
    assert [(g.task, g.label, g.seeds) for g in groups] == [("lift", "ferm_plus", "1, 2"), ("lift", "curl", "1, 2")]
    assert notes == []


def test_an_ablation_by_override_is_not_pooled_with_the_full_recipe(tmp_path):
    paths = [
        write_run(tmp_path / "a", "ferm_plus", 1),
        write_run(tmp_path / "b", "ferm_plus", 1, recipe=RecipeConfig(bc_weight=0.5)),
    ]
    groups, notes = make_groups(find(paths)[0])
    assert [g.label for g in groups] == ["ferm_plus, recipe.bc_weight=0.0", "ferm_plus, recipe.bc_weight=0.5"]
    assert groups[1].differs == {"recipe.bc_weight": 0.5}
    assert "not seeds of one configuration" in notes[0]


def test_a_run_from_before_an_option_existed_is_a_seed_like_others(tmp_path):
    paths = [write_run(tmp_path / str(seed), "ferm_plus", seed) for seed in (1, 2)]
    written = paths[0] / "config.yaml"
    without = OmegaConf.to_container(OmegaConf.load(written))
    del without["task"]["time_limit"]
    written.write_text(OmegaConf.to_yaml(without))
    ((group,), notes) = make_groups(find(paths)[0])
    assert (group.seeds, notes) == ("1, 2", [])


def test_what_follows_from_a_seeds_own_demonstrations_does_not_tell_seeds_apart(tmp_path):
    """Discount and episode limit, where the recipe has them follow; set by hand they are options like others."""
    for follows, groups in ((True, ["ferm_plus"]), (False, None)):
        paths = []
        for seed, gamma in ((1, 0.98), (2, 0.97)):
            recipe = RecipeConfig(discount_from_demos=follows, episode_limit=1.5 if follows else 0.0)
            run = write_run(tmp_path / f"{follows}{seed}", "ferm_plus", seed, recipe=recipe)
            written = OmegaConf.load(run / "config.yaml")
            written.algo.discount, written.task.time_limit = gamma, int(100 * gamma)
            (run / "config.yaml").write_text(OmegaConf.to_yaml(written))
            paths.append(run)
        labels = [group.label for group in make_groups(find(paths)[0])[0]]
        assert labels == groups if groups else len(labels) == 2


def test_many_differing_options_are_counted_and_said_once(tmp_path):
    other = RecipeConfig(demos=3, bc_weight=0.5, batch_size=7, clone_updates=1)
    paths = [write_run(tmp_path / "a", "ferm_plus", 1), write_run(tmp_path / "b", "ferm_plus", 1, recipe=other)]
    groups, notes = make_groups(find(paths)[0])
    assert [g.label for g in groups] == ["ferm_plus, variant 1", "ferm_plus, variant 2"]
    assert any("variant 2 has recipe.batch_size=7, recipe.bc_weight=0.5" in note for note in notes)


def test_policies_within_a_run_and_bundles_are_groups_of_their_own(tmp_path):
    run = write_run(tmp_path / "a", "ferm_plus", 1, [(500, 30)])
    made = write_bundle(
        tmp_path / "bundle", dataclasses.replace(tiny_contract(), task="lift"), 0.0, recipe="ferm_plus", seed=1
    )
    groups, _ = make_groups(find([run, run / "cloned", made])[0])
    assert [g.label for g in groups] == ["ferm_plus", "ferm_plus, cloned", "ferm_plus, bundle"]


def test_one_seed_twice_is_refused(tmp_path):
    paths = [write_run(tmp_path / name, "ferm_plus", 1) for name in "ab"]
    with pytest.raises(PixelarmError, match="same configuration with the same seed 1"):
        make_groups(find(paths)[0])
    assert len(find([paths[0], paths[0], tmp_path / "b" / ".." / "a"])[0]) == 1, (
        "the same folder given twice is one run"
    )


def test_what_else_lies_in_a_folder_of_runs_is_left_out_in_words(tmp_path):
    run = write_run(tmp_path / "a", "ferm_plus", 1)
    (tmp_path / "demos").mkdir()
    sources, notes = find([run, tmp_path / "demos"])
    assert len(sources) == 1 and notes == [
        f"{tmp_path / 'demos'} is no run of `pixelarm train`, no policy bundle and no record: left out"
    ]
    with pytest.raises(PixelarmError, match="does not exist; give run folders"):
        find([run, tmp_path / "typo"])
    with pytest.raises(PixelarmError, match="no run of `pixelarm train` and no policy bundle among"):
        find([tmp_path / "demos"])

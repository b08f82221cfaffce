"""Which test sources took part in choices: of all that ships, exactly; of one's own, refused."""

from __future__ import annotations

import os
import re
from dataclasses import replace
from functools import cache
from itertools import chain, product

import astropy.units as u
import numpy as np
import pytest
from astropy.coordinates import SkyCoord

from rgbench.data.choices import Made, check_choices, choices_of, say_choices, touched, where
from rgbench.data.sets import first_galaxy_data, load_data
from rgbench.data.split import published_split
from rgbench.errors import LeakageError, SpecError
from rgbench.networks import NetworkCard, networks
from rgbench.networks.catalogue import shipped_names
from rgbench.protocols import protocol_choices, protocols, ships
from rgbench.protocols.choices import Choice, read_choices
from rgbench.spec import Study, resolve

PUBLISHED = {"data": "first-galaxy-data", "splits": ("published",)}
FOLDS = tuple(f"fold-{k}" for k in range(5))
PROTOCOLS = ("becker2021", "modern", "rg-benchmarker-2021-11", "sky")


@pytest.fixture(scope="module")
def dataset():
    return first_galaxy_data.sources()


def sources_of(dataset, split):
    return published_split(dataset, split).indices("test")


def counts(made, dataset, rows):
    """Count the test sources that judged, and those that were only trained on, over several choices."""
    found = [touched(each, dataset, rows) for each in made]
    judged = np.any([each.judged for each in found], axis=0)
    return int(judged.sum()), int((np.any([each.trained for each in found], axis=0) & ~judged).sum())


def of_protocol(name):
    return [Made(choice, owner, ships(owner)) for owner, choice in protocol_choices(name) if choice.data]


def of_networks():
    cards = [card for _, card in networks() if isinstance(card, NetworkCard) and card.choices]
    return {card.name: [Made(choice, card.name, True) for choice in card.choices] for card in cards}


# Test sources that judged choices, those that trials were trained on, and all: what reports must say beside a score.
PROTOCOL_OVERLAPS = {
    ("becker2021", "published"): (0, 0, 200),
    **{("becker2021", fold): (0, 0, 399) for fold in FOLDS},
    ("modern", "published"): (0, 0, 200),
    **{("modern", fold): (56, 288, 399) for fold in FOLDS},
    ("rg-benchmarker-2021-11", "published"): (0, 0, 200),
    **{("rg-benchmarker-2021-11", fold): (0, 0, 399) for fold in FOLDS},
    ("sky", "published"): (24, 121, 200),
    **{("sky", fold): (56, 288, 399) for fold in FOLDS},
}
NETWORK_OVERLAPS = {
    ("rg-resnet", "published"): (0, 0, 200),
    **{("rg-resnet", fold): (56, 288, 399) for fold in FOLDS},
    ("rg-convnext", "published"): (0, 0, 200),
    **{("rg-convnext", fold): (0, 0, 399) for fold in FOLDS},
}
# By position, 60 arcsec: other sets hold many of the same sources.
OTHER_OVERLAPS = {
    ("modern", "mirabest-basic"): (16, 51, 77),
    ("sky", "mirabest-basic"): (17, 54, 77),
    ("modern", "mirabest-full"): (19, 72, 153),
    ("sky", "mirabest-full"): (20, 80, 153),
    ("modern", "mirabest-f"): (29, 61, 153),
    ("sky", "mirabest-f"): (31, 68, 153),
    ("modern", "mirabest-confident"): (26, 57, 104),
    ("sky", "mirabest-confident"): (28, 64, 104),
    ("modern", "mirabest-two-class"): (29, 61, 153),
    ("sky", "mirabest-two-class"): (31, 68, 153),
    ("modern", "first-consensus"): (0, 0, 45),
    ("sky", "first-consensus"): (10, 31, 45),
}


def test_all_that_ships_is_walked_through_and_its_overlaps_are_these(dataset):
    shipped = [name for name in protocols().names() if ships(name)]
    assert tuple(sorted(shipped)) == PROTOCOLS
    assert set(dataset.splits) == {"published", *FOLDS}
    found = {}
    for name, split in product(shipped, dataset.splits):
        rows = sources_of(dataset, split)
        made = of_protocol(name)
        found[name, split] = (*(counts(made, dataset, rows) if made else (0, 0)), len(rows))
    assert found == PROTOCOL_OVERLAPS
    own = of_networks()
    assert set(own) <= shipped_names()
    assert {
        (name, split): (*counts(made, dataset, sources_of(dataset, split)), len(sources_of(dataset, split)))
        for name, made in own.items()
        for split in dataset.splits
    } == NETWORK_OVERLAPS


def test_the_overlaps_are_those_of_positions_by_another_library(dataset):
    """Test sources of the folds within 60 arcsec of a validation source of the published split."""
    sky = SkyCoord(dataset.catalogue.ra * u.deg, dataset.catalogue.dec * u.deg)
    judged = sky[published_split(dataset, "published").indices("validation")]
    rows = sources_of(dataset, "fold-0")
    _, apart, _ = sky[rows].match_to_catalog_sky(judged)
    (found,) = [
        touched(each, dataset, rows) for each in of_protocol("modern") if each.choice.what == "epochs"
    ]
    assert (found.judged == (apart < 60 * u.arcsec)).all()
    assert 0 < found.judged.sum() < len(rows)


def test_sources_that_were_taken_out_took_no_part(dataset):
    (made,) = [each for each in of_protocol("modern") if each.choice.what == "shift"]
    plain = replace(made, choice=made.choice.model_copy(update={"without": ()}))
    rows = sources_of(dataset, "published")
    assert counts([made], dataset, rows) == (0, 0)
    assert counts([plain], dataset, rows) == (24, 121)


def test_the_sources_without_images_are_those_of_the_data_set(dataset):
    whole = load_data("first-galaxy-data")
    assert (dataset.catalogue.source_id == whole.catalogue.source_id).all()
    assert (dataset.catalogue.group == whole.catalogue.group).all()
    for split in whole.splits:
        assert (dataset.splits[split] == whole.splits[split]).all()
        sides = published_split(dataset, split).assignment, published_split(whole, split).assignment
        assert (sides[0] == sides[1]).all()


@pytest.mark.slow
def test_test_sets_of_other_names_are_held_against_choices_by_position():
    found = {}
    for protocol, name in OTHER_OVERLAPS:
        other = load_data(name)
        rows = sources_of(other, "published")
        found[protocol, name] = (*counts(of_protocol(protocol), other, rows), len(rows))
    assert found == OTHER_OVERLAPS


def test_every_choice_that_ships_names_what_there_is():
    for made in [*(m for name in PROTOCOLS for m in of_protocol(name)), *chain(*of_networks().values())]:
        choice = made.choice
        assert set(choice.splits) | set(choice.without) <= {"published", *FOLDS}
        assert {*choice.networks, *choice.tried} <= set(networks().names())


def test_the_value_that_a_protocol_has_is_among_those_that_were_tried():
    for name in PROTOCOLS:
        for _, choice in protocol_choices(name):
            numbers = [value for value in choice.values if isinstance(value, int | float)]
            if not choice.key or len(numbers) < len(choice.values) or not numbers:
                continue
            for network in choice.networks or ("simplenet",):
                (spec,) = resolve(Study(name="s", networks=(network,), seeds=(1,), protocol=name), "")
                section, key = choice.key.split(".")
                assert getattr(getattr(spec, section), key) in numbers, (name, choice.what)


def runs_of(dataset, split="published", **more):
    study = Study(**{"name": "s", "networks": ("mcrgnet",), "seeds": (1, 2), "splits": (split,), **more})
    return [(spec, sources_of(dataset, split)) for spec in resolve(study, "")]


def test_a_choice_of_the_study_on_test_sources_is_refused(dataset):
    own = (Choice(what="epochs", key="recipe.epochs", data="first-galaxy-data", splits=FOLDS),)
    with pytest.raises(
        LeakageError, match=r"145 of the 200 test sources judged the choice of epochs \(this study\): J"
    ):
        check_choices(runs_of(dataset), dataset, own)
    clean = own[0].model_copy(update={"without": ("published",)})
    assert check_choices(runs_of(dataset), dataset, (clean,)) == ()


def test_a_run_with_a_value_that_was_not_tried_rests_on_no_choice_of_the_study(dataset):
    own = Choice(what="epochs", key="recipe.epochs", values=(5, 9), data="first-galaxy-data", splits=FOLDS)
    assert check_choices(runs_of(dataset), dataset, (own,)) == ()
    with pytest.raises(LeakageError):
        check_choices(runs_of(dataset, recipe={"epochs": 9}), dataset, (own,))


def test_a_data_set_that_is_not_known_is_named_with_its_choice(dataset):
    own = Choice(what="epochs", data="no-such-data", splits=("published",))
    with pytest.raises(SpecError, match="choice of epochs, data: unknown data set 'no-such-data'"):
        check_choices(runs_of(dataset), dataset, (own,))


def test_a_protocol_of_ones_own_is_refused_and_one_that_ships_is_said(dataset, monkeypatch):
    runs = runs_of(dataset, "fold-2")
    (said,) = check_choices(runs, dataset)
    assert said.startswith("56 of the 399 test sources (J")
    assert "and 52 others) judged choices of the protocol modern: stretch, field" in said
    assert "So scores may be too good." in said
    assert "first-galaxy-data, split 'published'" in said
    assert "288 others were trained on in its trials." in said
    anew = cache(protocols.__wrapped__)
    for place in ("protocols", "spec.study", "data.choices"):
        monkeypatch.setattr(f"rgbench.{place}.protocols", anew)
    anew().register("mine-of-choices", {"extends": "modern", "choices": [{"what": "views", **PUBLISHED}]})
    own = [(spec.model_copy(update={"protocol": "mine-of-choices"}), rows) for spec, rows in runs]
    with pytest.raises(
        LeakageError, match=r"56 of the 399 .* choice of views \(the protocol mine-of-choices\)"
    ):
        check_choices(own, dataset)
    assert say_choices(own, dataset), "a report says it, and does not fail"


def test_a_base_that_is_not_whole_by_itself_has_choices_too(dataset, monkeypatch):
    anew = cache(protocols.__wrapped__)
    for place in ("protocols", "spec.study", "data.choices"):
        monkeypatch.setattr(f"rgbench.{place}.protocols", anew)
    choice = {"what": "views", "key": "recipe.views", **PUBLISHED}
    anew().register("half-of-choices", {"choices": [choice]})
    tables = {key: anew().get("modern")[key] for key in ("images", "augmentation", "recipe")}
    anew().register("whole-of-choices", {"extends": "half-of-choices", **tables})
    runs = runs_of(dataset, "fold-2", protocol="whole-of-choices")
    with pytest.raises(LeakageError, match=r"choice of views \(the protocol half-of-choices\)"):
        check_choices(runs, dataset)


def test_a_value_that_a_study_changes_rests_on_no_choice_of_the_protocol(dataset):
    def chosen(**more):
        (spec, _), _ = runs_of(dataset, **more)
        return {made.choice.what for made in choices_of(spec)}

    assert {"epochs", "learning rate", "shift"} <= chosen()
    assert chosen() - chosen(recipe={"epochs": 3}) == {"epochs"}
    assert chosen() - chosen(augmentation={"shift": 4}) == {"shift"}
    schedule = ({"network": "mcrgnet", "learning_rate": 1e-3, "epochs": 14},)
    assert chosen() - chosen(schedule=schedule) == {"learning rate"}
    assert "learning rate" not in chosen(networks=("simplenet",))


def test_what_is_not_recorded_is_said(dataset):
    (said,) = check_choices(runs_of(dataset, protocol="becker2021"), dataset)
    assert said == (
        "Whether test sources took part in choices of the protocol becker2021 (learning rate of each network and "
        "epochs) is not recorded."
    )
    (spec, rows), _ = runs_of(dataset)
    gone = spec.model_copy(update={"protocol": "of a package that is not here"})
    (said,) = say_choices([(gone, rows)], dataset)
    assert "choices of the protocol of a package that is not here (values) is not recorded" in said


def test_without_positions_it_cannot_be_said(dataset):
    blind = replace(
        dataset,
        card=replace(dataset.card, name="blind"),
        catalogue=replace(dataset.catalogue, ra=np.full(len(dataset.catalogue), np.nan)),
    )
    (said,) = check_choices(runs_of(dataset), blind)
    assert "cannot be said: the positions of 200 of the 200 test sources are not known" in said


@pytest.mark.skipif(not os.environ.get("RGBENCH_MIRROR"), reason="RGBENCH_MIRROR is not set")
def test_without_positions_of_those_that_judged_it_cannot_be_said_either(dataset):
    own = Choice(what="epochs", data="fr-deep-first", splits=("published",))
    (said,) = check_choices(runs_of(dataset), dataset, (own,))
    assert re.search(
        r"choices of this study \(epochs\) cannot be said: the positions of \d+ of the \d+ sources", said
    )


@pytest.mark.parametrize(
    ("table", "message"),
    [
        ({"what": "epochs", "data": "mnist"}, "data and splits go together"),
        ({"what": "epochs", **PUBLISHED, "splits": ["test"]}, "must be 'published' or published folds"),
        ({"what": "epochs", "key": "epochs"}, "must be a key of images, augmentation or recipe"),
        ({"what": "epochs", "without": ["published"]}, "without goes with splits"),
        ({"whatt": "epochs"}, "did you mean 'what'"),
        ("epochs", r"must be a list of tables, \[\[choices\]\]"),
    ],
)
def test_mistakes_name_the_table_and_the_key(table, message):
    with pytest.raises(SpecError, match=message) as caught:
        read_choices([table] if isinstance(table, dict) else table, "my.toml")
    assert "my.toml" in str(caught.value)


def test_a_key_and_a_data_set_that_are_not_there_are_refused(dataset):
    with pytest.raises(
        SpecError, match=r"choice of rate: key 'recipe.rate' is unknown; the keys are recipe.epochs"
    ):
        check_choices(runs_of(dataset), dataset, (Choice(what="rate", key="recipe.rate"),))
    with pytest.raises(SpecError, match="did you mean first-galaxy-data"):
        check_choices(
            runs_of(dataset), dataset, (Choice(what="x", data="first-galaxy-dat", splits=("published",)),)
        )


def test_where_a_choice_was_made_is_said():
    assert where(Choice(what="x")) == "not recorded"
    assert where(Choice(what="x", data="mnist", splits=FOLDS[:2])) == "mnist, splits 'fold-0' and 'fold-1'"

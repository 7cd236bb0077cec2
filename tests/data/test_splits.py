"""Splits come from counts and a seed alone, keep unseen verbs out of training, and notice being altered."""

import json
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from components.base.errors import UserError
from components.datasets.scenes import lexicon
from components.datasets.splits import Splits, SplitSpec, make_splits, scenes_spec

COUNTS = {"running": 40, "walking": 30, "eating": 4, "rowing": 20, "reading": 12}
LABELS = {f"{verb}{number}": verb for verb, count in COUNTS.items() for number in range(count)}


def drawn(total: int = 400, dev: int = 2, test: int = 3) -> dict[str, str | None]:
    counts = {v: n + dev + test for v, n in lexicon.train_counts(total).items()}
    counts |= dict.fromkeys(lexicon.PSEUDO_UNSEEN, 4) | dict.fromkeys(lexicon.UNSEEN, 5)
    return {f"{verb}/{number}": verb for verb, count in counts.items() for number in range(count)}


def test_scenes_by_the_lexicon() -> None:
    labels = drawn()
    splits = make_splits(labels, scenes_spec(seed=3, dev=2, test=3))
    assert set(splits.verbs["unseen"]) == set(lexicon.UNSEEN) and set(splits.verbs["rare"]) == set(lexicon.RARE)
    assert set(splits.verbs["common"]) | set(lexicon.RARE) == set(lexicon.SEEN)
    counts = {split: {v: sum(labels[i] == v for i in getattr(splits, split)) for v in lexicon.VERBS}
              for split in ("train", "dev", "test")}
    train = lexicon.train_counts(400)
    for verb in lexicon.VERBS:
        expected = ((0, 0, 5) if verb in lexicon.UNSEEN else (0, 4, 0) if verb in lexicon.PSEUDO_UNSEEN
                    else (train[verb], 2, 3))
        assert tuple(counts[split][verb] for split in ("train", "dev", "test")) == expected
    assert all(train[verb] <= 5 for verb in lexicon.RARE)


@given(st.dictionaries(st.integers().map(str), st.sampled_from([*"abcdef", None]), min_size=8, max_size=40),
       st.integers(0, 9), st.randoms())
@settings(max_examples=40, deadline=None)
def test_every_labelled_sample_is_in_one_split_whatever_the_order(labels, seed, random) -> None:
    spec = SplitSpec(seed)
    try:
        splits = make_splits(labels, spec)
    except UserError as error:
        assert "no image is left for training" in str(error)
        return
    shuffled = list(labels.items())
    random.shuffle(shuffled)
    assert make_splits(dict(shuffled), spec) == splits
    given_ids = [*splits.train, *splits.dev, *splits.test]
    labelled = {i for i, label in labels.items() if label is not None} or set(labels)
    assert len(given_ids) == len(set(given_ids)) and set(given_ids) == labelled
    assert not {labels[i] for i in splits.train} & splits.held_out()


def test_shares_of_a_users_folder() -> None:
    splits = make_splits(LABELS, SplitSpec(unseen=("reading",), pseudo_unseen=("rowing",), dev=0.1, test=0.2))
    assert splits.verbs == {"common": ("running", "walking"), "rare": ("eating",), "pseudo_unseen": ("rowing",),
                            "unseen": ("reading",)}
    assert sorted(LABELS[i] for i in splits.test) == ["eating"] + ["reading"] * 12 + ["running"] * 8 + ["walking"] * 6
    assert sorted(LABELS[i] for i in splits.dev) == ["rowing"] * 20 + ["running"] * 4 + ["walking"] * 3
    assert [splits.group(v) for v in ("eating", "rowing")] == ["rare", "pseudo_unseen"]


def test_drawn_shares_of_verbs_depend_on_the_seed() -> None:
    labels = {f"{v}{n}": f"verb{v}" for v in range(20) for n in range(10)}
    splits = [make_splits(labels, SplitSpec(seed)) for seed in range(3)]
    assert all((len(s.verbs["unseen"]), len(s.verbs["pseudo_unseen"])) == (6, 3) for s in splits)
    assert len({s.verbs["unseen"] for s in splits}) == 3 and len({s.sha256 for s in splits}) == 3
    again = make_splits(labels, SplitSpec(1))
    assert again == splits[1] and again.sha256 == splits[1].sha256


def test_a_listed_rare_verb_is_never_drawn_as_unseen() -> None:
    for seed in range(10):
        verbs = make_splits(LABELS, SplitSpec(seed, rare=("running", "eating"))).verbs
        assert verbs["rare"] == ("eating", "running")


def test_images_without_labels_are_split_as_images() -> None:
    splits = make_splits({str(n): None for n in range(50)}, SplitSpec())
    assert (len(splits.train), len(splits.dev), len(splits.test)) == (35, 5, 10)
    assert not any(splits.verbs.values())
    one = make_splits({"only": None}, SplitSpec())
    assert one.train == ("only",)


def test_save_and_load(tmp_path: Path) -> None:
    splits = make_splits(LABELS, SplitSpec())
    file = tmp_path / "new" / "splits.json"
    splits.save(file)
    assert Splits.load(file) == splits
    content = json.loads(file.read_text())
    assert content["sha256"] == splits.sha256 and set(content) == {"seed", "verbs", "train", "dev", "test", "sha256"}


def test_an_altered_file_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "splits.json"
    make_splits(LABELS, SplitSpec()).save(file)
    content = json.loads(file.read_text())
    content["train"].append(content["test"].pop())
    for text, words in ((json.dumps(content), "the splits were altered"), ("{", "not a splits file"),
                        ("{}", "not a splits file"), ("[1]", "not a splits file")):
        file.write_text(text)
        with pytest.raises(UserError, match=rf"(?s)splits\.json: {words}.*foveate data split"):
            Splits.load(file)
    with pytest.raises(UserError, match=r"none\.json: cannot be read"):
        Splits.load(tmp_path / "none.json")

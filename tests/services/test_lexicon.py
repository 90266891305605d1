"""Words as numbers: the same word in another form is the same term, in scripts with spaces and without."""

import pytest

from app.schemas.conditions import compile_condition
from app.services.lexicon import TERM_IDS, latin_share, passage_terms, question_terms, rarity, words


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("The keepers' lamps were running", "a keeper's lamp runs"),
        ("Amazônia", "AMAZONIA"),
        ("ｆｕｌｌ width", "full width"),
        ("города", "город"),
        ("राजधानी", "राजधानियों"),
    ],
)
def test_forms_of_a_word_are_the_same_term(one: str, other: str):
    assert list(words(one)) == list(words(other)) != []


def test_scripts_without_spaces_are_taken_in_pairs_of_signs():
    assert list(words("维京人 ok")) == ["维京", "京人", "ok"]
    assert list(words("ตา")) == ["ตา"]


def test_a_passage_weighs_what_it_says_often_and_shortly_more():
    once, twice = passage_terms("lamp oil"), passage_terms("lamp lamp oil")
    [lamp] = question_terms("lamps")
    weight = dict(zip(twice.ids, twice.weights, strict=True))
    assert weight[lamp] > dict(zip(once.ids, once.weights, strict=True))[lamp]
    long = passage_terms("lamp oil " + "tower bell fog " * 200)
    assert dict(zip(long.ids, long.weights, strict=True))[lamp] < weight[lamp]
    assert list(long.ids) == sorted(long.ids)
    assert all(0 < one <= TERM_IDS for one in long.ids)


def test_a_rare_word_weighs_more_and_none_weighs_nothing():
    assert rarity(100, 1) > rarity(100, 50) > rarity(100, 100) > 0
    assert rarity(0, 0) > 0
    assert rarity(3, 7) > 0  # counts may be ahead of each other


def test_stop_words_and_signs_alone_ask_for_nothing():
    assert question_terms("What is it?!") == {}
    assert latin_share("2+2?") == latin_share("Amazônia") == 1
    assert latin_share("什么是 DNA") == 0.5


@pytest.mark.parametrize(
    "condition",
    [
        {},
        {"$where": "1"},
        {"year": {"$regex": "^2"}},
        {"year": {"$gt": True}},
        {"year": {"$in": []}},
        {"year": {"$in": "abc"}},
        {"year": {"$exists": 1}},
        {"year": {"$eq": {"a": 1}}},
        {"year": [1]},
        {"$or": {}},
        {"$not": []},
        {"": 1},
        {"a..b": 1},
        {"year": float("nan")},
        {"$not": {"$not": {"$not": {"$not": {"$not": {"a": 1}}}}}},
        {f"field{number}": 1 for number in range(51)},
    ],
)
def test_what_is_no_condition_is_refused(condition: dict):
    with pytest.raises(ValueError, match=r"where|conditions"):
        compile_condition(condition)


def test_values_and_names_never_become_part_of_the_language():
    predicate = compile_condition({'a" || true || "': {"$eq": '") || ("1" == "1'}})
    assert predicate.path == '($."a\\" || true || \\"" == $v0)'.replace("($", "(($", 1).replace("v0)", "v0))")
    assert predicate.operands == {"v0": '") || ("1" == "1'}

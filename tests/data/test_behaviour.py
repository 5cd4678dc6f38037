"""Rules that format the same cells are of one class, and no others."""

from codefusion.data import behaviour


def groups(texts, language="cf"):
    """Returns for each text the index of the first that does the same."""
    found = behaviour.classes(texts, language)
    return [found.index(value) for value in found]


def test_rules_that_do_the_same_are_of_one_class():
    rules = [
        "GreaterThan(5)",
        "NOT(LessThanEqual(5))",
        "GreaterThan(5.5)",
        "GreaterThan( 5 )",
        "GreaterThan(c[1], 5)",
        "AND(GreaterThan(5), GreaterThan(3))",
    ]
    assert groups(rules)[2:] == [2, 0, 4, 0]


def test_what_is_no_rule_or_cannot_run_does_what_equal_texts_do():
    rules = ["Greater(", "GreaterThan(5)", "Greater(", "GreaterThan(c[99999], 5)"]
    assert groups(rules) == [0, 1, 0, 3]


def test_other_languages_are_not_run():
    assert groups(["ls -a", "ls  -a", "ls -a"], "bash") == [0, 1, 0]


def test_no_texts_have_no_classes():
    assert behaviour.classes([], "cf") == []

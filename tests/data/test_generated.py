import json
import re
import time

import pytest

from codefusion.data import cf_interpreter, cf_language
from codefusion.data.builders import generated
from codefusion.data.builders.generated import values
from codefusion.data.cf_language import Call, Number, Text

SAMPLE = 1200


def sample(split, count=SAMPLE, **options):
    return [generated.generate(5, i, split, **options) for i in range(count)]


def leaves(tree):
    for argument in tree.arguments:
        if isinstance(argument, Call):
            yield from leaves(argument)
        else:
            yield tree.name, argument


@pytest.mark.parametrize("split", generated.SPLITS)
@pytest.mark.parametrize("column_argument", [False, True])
def test_rules_format_some_cells_of_their_table_and_leave_some(split, column_argument):
    for example in sample(split, column_argument=column_argument):
        tree, table = cf_language.parse(example.code), json.loads(example.table)
        formatted = cf_interpreter.run(tree, table)
        columns = cf_interpreter.focus(tree, len(table[0]))
        assert 0 < len(formatted) < len(columns) * (len(table) - 1), example


def test_an_example_is_a_function_of_seed_index_and_split():
    ahead = [generated.generate(1, index) for index in (5, 2, 5)]
    assert ahead[0] == ahead[2] != ahead[1]
    others = [(1, 5, "test"), (2, 5, "train"), (-1, 5, "train"), (1, 6, "train")]
    assert all(generated.generate(*other) != ahead[0] for other in others)
    assert len({example.id for example in sample("train")}) == SAMPLE


def test_known_examples_stay_what_they_are():
    assert generated.generate(0, 1).code == "NOT(Between(60, 396))"
    assert generated.generate(0, 3, "test").code == "LessThan(388)"


@pytest.mark.parametrize("split", ["validation", "test"])
def test_no_held_out_rule_and_no_held_out_constant_is_in_training(split):
    train = [cf_language.parse(e.code) for e in sample("train", 8000)]
    held_out = [cf_language.parse(e.code) for e in sample(split, 1500)]
    assert not set(train) & set(held_out)
    seen = {leaf for tree in train for leaf in leaves(tree)}
    seen_numbers = {leaf.value for _, leaf in seen if isinstance(leaf, Number)}
    for tree in held_out:
        for name, leaf in leaves(tree):
            assert (name, leaf) not in seen
            if isinstance(leaf, Number):
                assert leaf.value not in seen_numbers


def test_each_constant_has_one_split():
    for split in generated.SPLITS:
        for example in sample(split, 600):
            for name, leaf in leaves(cf_language.parse(example.code)):
                if isinstance(leaf, Text):
                    name = "EndsWith" if name == "TextEndsWith" else name
                    assert values.split_of_text(name, leaf.value) == split


@pytest.mark.parametrize("split", generated.SPLITS)
def test_constants_are_in_the_request_as_written(split):
    for example in sample(split):
        for constant in re.findall(r"\(([^()]+)\)", example.code):
            for part in constant.split(", "):
                assert part.rstrip("%") in example.utterance, example


def test_the_grammar_is_as_wide_as_promised():
    assert len(generated.KINDS) >= 16
    assert min(kind.phrases for kind in generated.KINDS.values()) >= 8
    texts = " ".join(example.code for example in sample("train", 4000))
    assert re.search(r"\b\d{4}\b", texts) and re.search(r"\d\.\d", texts)
    assert re.search(r"-\d", texts) and all(
        word in texts for word in ("AND(", "OR(", "NOT(")
    )


def test_every_kind_is_drawn_and_really_worded_in_eight_ways():
    requests = {name: set() for name in generated.KINDS}
    for name in generated.KINDS:
        for index in range(400):
            example = generated.generate(0, index, kinds=[name])
            bare = example.utterance
            for constant in re.findall(r"\(([^()]+)\)", example.code):
                for part in constant.split(", "):
                    bare = bare.replace(part.rstrip("%"), "_")
            requests[name].add(bare)
    assert min(map(len, requests.values())) >= 100


def test_requests_are_one_tidy_line_without_unfilled_slots():
    for example in sample("train", 4000):
        request = example.utterance
        assert request == request.strip() and "\n" not in request
        assert "  " not in request and not re.search(r"[{}|]", request), request


def test_a_request_names_its_column_where_the_rule_does():
    for example in sample("train", column_argument=True):
        place = int(re.search(r"c\[(\d)\]", example.code)[1])
        column = json.loads(example.table)[0][place]
        assert column.lower() in example.utterance.lower(), example


def test_one_request_asks_for_one_rule():
    rules = {}
    for example in sample("train", 8000):
        rule = rules.setdefault(example.utterance.lower(), example.code.lower())
        assert rule == example.code.lower(), example


def test_a_wrong_split_or_kind_says_what_is_right():
    with pytest.raises(ValueError, match="expected one of .*validation"):
        generated.generate(0, 0, "dev")
    with pytest.raises(ValueError, match="data_bar.*split 'test'"):
        generated.generate(0, 0, "test", kinds=["data_bar"])


def test_a_thousand_examples_take_well_under_a_second():
    start = time.process_time()
    sample("train", 1000)
    assert time.process_time() - start < 1.0

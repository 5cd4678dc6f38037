"""Tables of Markdown."""

from codefusion import markdown


def test_columns_are_aligned_and_no_value_ends_its_cell():
    assert markdown.table(("what", "n"), [("a|b", 1), ("long name", 20)]) == (
        "| what      | n  |\n"
        "| --------- | -- |\n"
        "| a\\|b      | 1  |\n"
        "| long name | 20 |"
    )

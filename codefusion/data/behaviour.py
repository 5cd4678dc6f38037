"""Tells which of several programs do the same, as far as running them can tell."""

from codefusion.data import cf_interpreter, cf_language, cf_probes

# Rules that name a column beyond are not run: the tables would be too large.
_MOST_COLUMNS = 32


def classes(texts, language):
    """Returns what each text does: equal values where two do the same.

    Conditional-formatting rules are run on tables of cells on which rules with the
    constants of these texts differ. Programs of other languages are not run, and a
    text of these does what equal texts do.

    Args:
      texts: programs, list[str].
      language: of all of them, str.

    Returns:
      A hashable value for each text, list; to be compared with one another alone.
    """
    if language != "cf":
        return list(texts)
    trees = {text: _tree(text) for text in dict.fromkeys(texts)}
    trees = {text: tree for text, tree in trees.items() if tree is not None}
    width = max(map(cf_interpreter.least_width, trees.values()), default=1)
    tables = cf_probes.probe_tables(list(trees.values()), width=width)
    effects = {text: _effect(tree, tables) for text, tree in trees.items()}
    return [effects.get(text) or text for text in texts]


def _tree(text):
    """Returns the tree of a rule, or None for what is no rule or not run."""
    try:
        tree = cf_language.parse(text)
    except ValueError:
        return None
    return tree if cf_interpreter.least_width(tree) <= _MOST_COLUMNS else None


def _effect(tree, tables):
    """Returns what a rule does to tables, a tuple; None for one that cannot run."""
    try:
        cells = [frozenset(cf_interpreter.run(tree, table)) for table in tables]
    except ValueError:  # an address
        return None
    return cf_interpreter.effect(tree), *cells

"""Parses Bash and Python with tree-sitter, and says whether a text is a program.

Predictions are hostile input: whatever a model writes must get a verdict, not a
crash. So a text longer than MAX_LENGTH characters, or nested deeper than MAX_DEPTH,
is no program here, and neither is a blank one or one with a NUL or a lone surrogate.
"""

import ast
import functools
import re
import warnings

MAX_LENGTH = 10_000
MAX_DEPTH = 200
LANGUAGES = ("bash", "python", "cf")
_NOT_TEXT = re.compile("[\0\ud800-\udfff]")
# What the Bash grammar must not see: its scanner reads beyond its tables on characters
# above U+00FF, and may crash.
NOT_ASCII = re.compile(r"[^\x00-\x7f]")


def parse(text, language):
    """Returns the tree-sitter tree of a text, with ERROR nodes where it is broken.

    Args:
      text: a program, str.
      language: "bash" or "python".

    Returns:
      The tree. For Bash each character outside ASCII stands there as its code point
      (`u00E9`) or, if it is no letter or digit, as ".".
    """
    if language == "bash":
        text = NOT_ASCII.sub(_spell, text)
    return parser(language).parse(text.encode(errors="replace"))


def _spell(match):
    char = match.group()
    return f"u{ord(char):04X}" if char.isalnum() else "."


def nodes(tree):
    """Returns the nodes of a tree, parents before children, and each one's depth.

    Args:
      tree: a tree-sitter tree.

    Returns:
      Pairs (node, depth), list; the root has depth 0.
    """
    found, waiting = [], [(tree.root_node, 0)]
    while waiting:
        node, depth = waiting.pop()
        found.append((node, depth))
        waiting.extend((child, depth + 1) for child in reversed(node.children))
    return found


def is_text(text):
    """Returns whether a text is short, not blank, and free of NUL and surrogates."""
    return len(text) <= MAX_LENGTH and bool(text.strip()) and not _NOT_TEXT.search(text)


def is_shallow(tree):
    """Returns whether no node of a tree is nested deeper than MAX_DEPTH."""
    return all(depth <= MAX_DEPTH for _, depth in nodes(tree))


def is_valid(text, language):
    """Returns whether a text is a syntactically valid program.

    Python is what `ast.parse` takes, Bash what tree-sitter-bash parses without an
    ERROR and without a MISSING node, and a rule what our own parser takes.

    Args:
      text: a program, str.
      language: one of LANGUAGES.

    Returns:
      The verdict, bool.
    """
    if language not in LANGUAGES:
        raise ValueError(f"language is {language!r}; expected one of {LANGUAGES}.")
    return is_text(text) and _VALID[language](text)


def _bash(text):
    tree = parse(text, "bash")
    return not tree.root_node.has_error and is_shallow(tree)


def _python(text):
    # Depth is judged by tree-sitter, which does not recurse: ast.parse does. It takes
    # about a character to go one deeper, so what is short need not be looked at.
    if len(text) > MAX_DEPTH // 2 and not is_shallow(parse(text, "python")):
        return False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ast.parse(text)
    except (SyntaxError, ValueError, RecursionError, MemoryError):
        return False
    return True


def _rule(text):
    from codefusion.data import cf_language

    try:
        return bool(cf_language.is_valid(text))
    except RecursionError:
        return False


_VALID = {"bash": _bash, "python": _python, "cf": _rule}


@functools.cache
def parser(language):
    """Returns the tree-sitter parser of a language, made once.

    Args:
      language: "bash" or "python".
    """
    import tree_sitter

    if language == "bash":
        import tree_sitter_bash as grammar
    elif language == "python":
        import tree_sitter_python as grammar
    else:
        raise ValueError(f"no tree-sitter grammar for {language!r}; bash or python.")
    return tree_sitter.Parser(tree_sitter.Language(grammar.language()))

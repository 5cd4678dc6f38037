"""Identifier and keyword spans of a program: what CPD pre-training masks.

Python and Bash are read by tree-sitter, which parses broken snippets too; conditional
formatting rules by their own lexer; any other language by Pygments (its Name and
Keyword tokens). Literals, operators and punctuation are never part of a span.
"""

import functools
import itertools

from codefusion.data import cf_language

# A grammar has one-letter anonymous nodes too (operators of `${x@U}`): no keywords.
_SHORTEST_KEYWORD = 2

_PYTHON_NODES = "(identifier) @span (true) @span (false) @span (none) @span"
_BASH_NODES = (
    "(command_name (word) @span) (word) @word (test_operator) @span "
    "(variable_name) @span (special_variable_name) @span"
)
_CF_KINDS = frozenset(("function", "keyword", "column", "reference"))


def mask_spans(code, language):
    """Returns the identifiers and keywords of code.

    Args:
      code: str, a program or a part of one; it need not parse.
      language: "python", "bash", "cf", or the name of a Pygments lexer.

    Returns:
      list of (start, end) in characters of code: sorted, disjoint, never empty.
    """
    find = _FINDERS.get(language)
    found = _pygments_spans(code, language) if find is None else find(code)
    return _disjoint(sorted(span for span in found if span[0] < span[1]))


def _disjoint(spans):
    """Returns the sorted spans with those that overlap made one."""
    joined = []
    for start, end in spans:
        if joined and start < joined[-1][1]:
            joined[-1] = (joined[-1][0], max(end, joined[-1][1]))
        else:
            joined.append((start, end))
    return joined


def _python_spans(code):
    content = code.encode("utf-8")
    captures = _captures("python", content)
    return _in_characters(captures.get("span", []), code, content)


def _bash_spans(code):
    content = code.encode("utf-8")
    captures = _captures("bash", content)
    flags = [_flag(span, content) for span in captures.get("word", [])]
    return _in_characters(captures.get("span", []) + flags, code, content)


def _flag(span, content):
    """Returns the part of a word that names a flag: `--color` of `--color=auto`."""
    start, end = span
    word = content[start:end]
    if not word.startswith(b"-") or not word.strip(b"-"):
        return start, start
    return start, start + len(word.split(b"=")[0])


def _cf_spans(code):
    tokens = cf_language.lex(code)
    return [(t.start, t.end) for t in tokens if t.kind in _CF_KINDS]


def _pygments_spans(code, language):
    from pygments import token

    return [
        (start, start + len(text))
        for start, kind, text in _pygments_lexer(language).get_tokens_unprocessed(code)
        if kind in token.Name or kind in token.Keyword
    ]


_FINDERS = {"python": _python_spans, "bash": _bash_spans, "cf": _cf_spans}


@functools.cache
def _pygments_lexer(language):
    from pygments import lexers, util

    try:
        return lexers.get_lexer_by_name(language)
    except util.ClassNotFound:
        raise ValueError(
            f"language is {language!r}; expected one of {sorted(_FINDERS)} or the name "
            "of a Pygments lexer."
        ) from None


def _captures(language, content):
    """Returns {capture name: [(start, end) in bytes]} of a tree-sitter query."""
    import tree_sitter

    parser, query = _parser_and_query(language)
    root = parser.parse(content).root_node
    captures = tree_sitter.QueryCursor(query).captures(root)
    return {
        name: [(node.start_byte, node.end_byte) for node in nodes]
        for name, nodes in captures.items()
    }


@functools.cache
def _parser_and_query(language):
    import tree_sitter
    import tree_sitter_bash
    import tree_sitter_python

    grammar, nodes = {
        "python": (tree_sitter_python, _PYTHON_NODES),
        "bash": (tree_sitter_bash, _BASH_NODES),
    }[language]
    loaded = tree_sitter.Language(grammar.language())
    keywords = " ".join(f'"{keyword}" @span' for keyword in _keywords(loaded))
    return tree_sitter.Parser(loaded), tree_sitter.Query(loaded, f"{nodes} {keywords}")


def _keywords(language):
    kinds = {
        language.node_kind_for_id(i)
        for i in range(language.node_kind_count)
        if language.node_kind_is_visible(i) and not language.node_kind_is_named(i)
    }
    # "end" is tree-sitter's own name for the end of the input.
    words = {k for k in kinds if k.isalpha() and len(k) >= _SHORTEST_KEYWORD} - {"end"}
    return sorted(words)


def _in_characters(spans, code, content):
    if len(content) == len(code):
        return spans
    sizes = [len(char.encode("utf-8")) for char in code]
    char_at = {byte: i for i, byte in enumerate(itertools.accumulate(sizes, initial=0))}
    return [(char_at[start], char_at[end]) for start, end in spans]

"""Identifier and keyword spans of a program: what pre-training masks.

Continuous paragraph denoising (CPD, Singh et al. 2023) restores a program of which
identifiers and keywords are masked.

Python and Bash are read by tree-sitter, which parses broken snippets too; conditional
formatting rules by their own lexer; any other language by Pygments (its Name and
Keyword tokens). Literals, operators and punctuation are never part of a span.
"""

import functools

from codefusion.data import cf_language, syntax

# A grammar has one-letter anonymous nodes too (operators of `${x@U}`): no keywords.
_SHORTEST_KEYWORD = 2
_NODES = {
    "python": "(identifier) @span (true) @span (false) @span (none) @span",
    "bash": (
        "(command_name (word) @span) (word) @word (test_operator) @span "
        "(variable_name) @span (special_variable_name) @span"
    ),
}
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
    return _captures("python", code).get("span", [])


def _bash_spans(code):
    captures = _captures("bash", code)
    flags = [_flag(span, code) for span in captures.get("word", [])]
    return captures.get("span", []) + flags


def _flag(span, code):
    """Returns the part of a word that names a flag: `--color` of `--color=auto`."""
    start, end = span
    word = code[start:end]
    if not word.startswith("-") or not word.strip("-"):
        return start, start
    return start, start + len(word.split("=")[0])


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


def _captures(language, code):
    """Returns {capture name: [(start, end)]} of a tree-sitter query."""
    import tree_sitter

    root = syntax.parser(language).parse(_as_ascii(code)).root_node
    captures = tree_sitter.QueryCursor(_query(language)).captures(root)
    return {
        name: [(node.start_byte, node.end_byte) for node in nodes]
        for name, nodes in captures.items()
    }


def _as_ascii(code):
    """Returns code with one byte for each character, so that bytes count characters."""
    plain = syntax.NOT_ASCII.sub(lambda m: "x" if m.group().isalnum() else ".", code)
    return plain.encode("ascii")


@functools.cache
def _query(language):
    import tree_sitter

    grammar = syntax.parser(language).language
    keywords = " ".join(f'"{keyword}" @span' for keyword in _keywords(grammar))
    return tree_sitter.Query(grammar, f"{_NODES[language]} {keywords}")


def _keywords(language):
    kinds = {
        language.node_kind_for_id(i)
        for i in range(language.node_kind_count)
        if language.node_kind_is_visible(i) and not language.node_kind_is_named(i)
    }
    # "end" is tree-sitter's own name for the end of the input.
    words = {k for k in kinds if k.isalpha() and len(k) >= _SHORTEST_KEYWORD} - {"end"}
    return sorted(words)

"""Joins the tokens of a line of Python that was stored with a space after each.

The Django lines come as `self . write ( data , end = '' )`; a model that is trained on
them would write so. Joined by the rules below they read `self.write(data, end='')`.
"""

import keyword
import re

_STRINGS = (
    r'"""(?:\\.|[^\\])*?"""',
    r"'''(?:\\.|[^\\])*?'''",
    r'"(?:\\.|[^"\\])*"',
    r"'(?:\\.|[^'\\])*'",
)
_TOKEN = re.compile(rf"[rbuRBU]{{0,2}}(?:{'|'.join(_STRINGS)})|\S+", re.DOTALL)
_TIGHT_BEFORE = frozenset(", ) ] } : . ;".split())
_TIGHT_AFTER = frozenset("( [ { . @ ~".split())
_CALLS_KEYWORDS = frozenset(("print", "exec", "super", "None", "True", "False"))
_SIGNS = frozenset("- + * **".split())
_CLOSES = {")": "(", "]": "[", "}": "{"}


def join(line):
    """Returns a line with the usual spaces; its tokens and their order stay.

    Args:
      line: tokens of Python with spaces between them; leading space is dropped.

    Returns:
      The line, `str`.
    """
    result, open_brackets, last, before_last = [], [], "", ""
    for token in _TOKEN.findall(line):
        inner = open_brackets[-1] if open_brackets else ""
        if last and not _is_tight(last, token, before_last, inner):
            result.append(" ")
        result.append(token)
        if token in _CLOSES.values():
            open_brackets.append(token)
        elif inner and _CLOSES.get(token) == inner:
            open_brackets.pop()
        before_last, last = last, token
    return "".join(result)


def _is_tight(last, token, before_last, inner):
    """Returns whether no space goes between two tokens inside a bracket `inner`."""
    if token == "." and last in ("from", "import"):
        return False
    if last == "." and token == "import":
        return False
    if token in _TIGHT_BEFORE or last in _TIGHT_AFTER:
        return True
    if token in ("(", "["):
        return _ends_value(last)
    if inner == "(" and "=" in (token, last):
        return True
    if inner == "[" and last == ":":
        return True
    return last in _SIGNS and not _ends_value(before_last)


def _ends_value(token):
    if keyword.iskeyword(token) and token not in _CALLS_KEYWORDS:
        return False
    return bool(token) and (token[-1].isalnum() or token[-1] in "_)]}'\"")

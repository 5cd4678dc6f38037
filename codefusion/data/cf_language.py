"""The conditional-formatting rule language: tokens, trees, text and validity.

A rule is a call such as `GreaterThan(25)`, `TextContains(Long term assets)`,
`top(10%)` or `AND(GreaterThan(c[2], 0), NOT(Blanks(c[1])))`. Names are known in any
letter case and under the aliases that the released data uses. An optional first
argument `c[i]`, or `LEN(c[i])`, says which column is meant.

The one argument of a text function is taken as written, with spaces, commas and
parentheses; a pair of quotes around all of it is not part of it. Parentheses inside
must balance, except in a rule that is one text call, `TextContains(()`.
"""

import dataclasses
import math
import re

from codefusion.data.cf_functions import (
    CONNECTIVES,
    FUNCTIONS,
    NAMES,
    Call,
    Column,
    Number,
    Reference,
    Text,
)

MAX_DEPTH = 40
_NUMBER = r"[-+]?(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d+)?"
_TOKEN = re.compile(
    rf"""(?P<whitespace>\s+)
    |(?P<string>"(?:[^"]|"")*"|'(?:[^']|'')*')
    |(?P<column>[cC]\[\d+\])
    |(?P<reference>\$[A-Za-z]{{1,3}}\$?\d+|[A-Za-z]{{1,3}}\$\d+)
    |(?P<percent>{_NUMBER}%)
    |(?P<number>{_NUMBER}(?!\w))
    |(?P<punct>[(),])
    |(?P<word>\w+(?:'\w+)*)
    |(?P<other>.)""",
    re.VERBOSE | re.DOTALL,
)
_COLUMN = re.compile(r"[cC]\[(\d{1,4})\]")
_ADDRESS = re.compile(r"\$[A-Za-z]{1,3}\$?\d+|[A-Za-z]{1,3}\$\d+")
_VALUE = re.compile(rf"({_NUMBER})\s*(%?)")
_QUANTITY = re.compile(rf"{_NUMBER}\W*[^\W\d]+")
_DATE = re.compile(r"\d{1,4}([-/.])\d{1,2}\1\d{1,4}")
_QUOTED = re.compile(r'"(?:[^"]|"")*"|' + r"'(?:[^']|'')*'")
_OPENING = re.compile(r"\s*\(")
_SPACE = re.compile(r"\s*")
_NAME = re.compile(r"\s*([^\W\d]\w*)\s*\(")
_PLAIN = re.compile(r"[^(),]*")
_BARE = re.compile(r"""[^\s"'(),$](?:[^"(),]*[^\s"(),])?""")


@dataclasses.dataclass(frozen=True)
class Token:
    """A piece of a rule.

    Attributes:
      kind: "function", "keyword", "number", "percent", "string", "column",
        "reference", "punct", "word", "whitespace" or "other".
      text: the characters, `rule[start:end]`.
      start: int, position of the first character.
      end: int, position after the last one.
    """

    kind: str
    text: str
    start: int
    end: int


def lex(text):
    """Returns the tokens of any text, in order and without gaps; never raises.

    Args:
      text: str, a rule or anything else.

    Returns:
      list of Token. A known name before "(" is a "function", or a "keyword" if it is
      AND, OR or NOT; other words are "word".
    """
    tokens = []
    for match in _TOKEN.finditer(text):
        kind = match.lastgroup
        if kind == "word" and _OPENING.match(text, match.end()):
            name = NAMES.get(match[0].lower())
            kind = "keyword" if name in CONNECTIVES else "function" if name else kind
        tokens.append(Token(kind, match[0], match.start(), match.end()))
    return tokens


def parse(text):
    """Returns the tree of a rule, with canonical names.

    `top(10%)` is `TopPercent` of 10, and `Bottom(c[1])` is `Bottom` of 1.

    Args:
      text: str.

    Returns:
      Call.

    Raises:
      ValueError: what is wrong and at which character.
    """
    call, end = _call(text, 0, depth=0)
    if text[end:].strip():
        raise _error(text, end, "the end of the rule")
    if call.name == "LEN":
        raise _error(text, 0, "a rule; LEN is only part of one")
    return call


def is_valid(text):
    """Returns whether a rule parses, with known functions and the right arguments."""
    try:
        parse(text)
    except ValueError:
        return False
    return True


def to_text(tree):
    """Returns a rule that parses to `tree`, with canonical names and spacing.

    Args:
      tree: Call, or any other node.
    """
    if isinstance(tree, Call):
        inside = (() if tree.subject is None else (tree.subject,)) + tree.arguments
        shown = map(to_text, inside)
        if FUNCTIONS[tree.name].takes == "values":
            shown = (
                _quote(a.value) if isinstance(a, Text) else to_text(a) for a in inside
            )
        return f"{tree.name}({', '.join(shown)})"
    if isinstance(tree, Number):
        whole = tree.value == int(tree.value) and abs(tree.value) < 1e15
        return str(int(tree.value)) if whole else repr(tree.value)
    if isinstance(tree, Column):
        return f"c[{tree.index}]"
    if isinstance(tree, Reference):
        return tree.address
    bare = _BARE.fullmatch(tree.value) and not _COLUMN.fullmatch(tree.value)
    return tree.value if bare else _quote(tree.value)


def _quote(text):
    return '"' + text.replace('"', '""') + '"'


def _unquote(text):
    return text[1:-1].replace(text[0] * 2, text[0])


def _error(text, position, expected):
    found = repr(text[position : position + 12]) if text[position:] else "the end"
    return ValueError(f"at character {position}: found {found}, expected {expected}.")


def _call(text, start, *, depth):
    if depth > MAX_DEPTH:
        raise _error(text, start, f"at most {MAX_DEPTH} nested calls")
    head = _NAME.match(text, start)
    if not head:
        raise _error(text, start, "a function name and '('")
    name = NAMES.get(head[1].lower())
    if name is None:
        raise _error(text, head.start(1), f"one of {sorted(FUNCTIONS)}")
    takes = FUNCTIONS[name].takes
    if takes == "rules":
        arguments, end = _rules(text, head.end(), depth)
        return _checked(text, start, Call(name, arguments)), end
    if takes == "text":
        end = _closing(text, head.end(), whole=depth == 0)
        return _text_call(text, name, head.end(), end), end + 1
    arguments, end = _values(text, head.end(), depth)
    return _value_call(text, start, name, arguments), end


def _rules(text, position, depth):
    rules = []
    position = _skip(text, position)
    while text[position : position + 1] != ")" or rules:
        rule, position = _call(text, position, depth=depth + 1)
        rules.append(rule)
        position = _skip(text, position)
        if text[position : position + 1] != ",":
            break
        position += 1
    if text[position : position + 1] != ")":
        raise _error(text, position, "',' or ')'")
    return tuple(rules), position + 1


def _skip(text, position):
    return _SPACE.match(text, position).end()


def _closing(text, start, *, whole):
    """Returns the position of the ")" that ends the argument that begins at start."""
    position, depth = _after_quotes(text, start), 1
    while position < len(text):
        depth += (text[position] == "(") - (text[position] == ")")
        if depth == 0:
            return position
        position += 1
    last = len(text.rstrip()) - 1
    if whole and last >= start and text[last] == ")":
        return last
    raise _error(text, len(text), "')'")


def _after_quotes(text, start):
    """Returns where the quoted argument that begins at start ends, else start."""
    column = re.compile(rf"\s*(?:{_COLUMN.pattern}\s*,)?\s*").match(text, start)
    quoted = _QUOTED.match(text, column.end())
    closed = quoted and text[quoted.end() :].lstrip().startswith(")")
    return quoted.end() if closed else start


def _text_call(text, name, start, end):
    inside, subject = text[start:end], None
    column = re.match(rf"\s*{_COLUMN.pattern}\s*,", inside)
    if column:
        subject, inside = Column(int(column[1])), inside[column.end() :]
    elif _COLUMN.fullmatch(inside.strip()):
        raise _error(text, end, "',' and a text after the column")
    inside = inside.strip()
    if _ADDRESS.fullmatch(inside):
        return Call(name, (Reference(inside.upper()),), subject)
    if _QUOTED.fullmatch(inside):
        inside = _unquote(inside)
    return Call(name, (Text(inside),), subject)


def _values(text, position, depth):
    if text[_skip(text, position) :].startswith(")"):
        return [], _skip(text, position) + 1
    arguments = []
    while True:
        value, position = _one_value(text, _skip(text, position), depth)
        arguments.append(value)
        position = _skip(text, position)
        if text[position : position + 1] == ")":
            return arguments, position + 1
        if text[position : position + 1] != ",":
            raise _error(text, position, "',' or ')'")
        position += 1


def _one_value(text, position, depth):
    if _NAME.match(text, position):
        return _call(text, position, depth=depth + 1)
    inside = (_QUOTED.match(text, position) or _PLAIN.match(text, position))[0]
    return _value(text, position, inside.strip()), position + len(inside)


def _value(text, position, inside):
    number = _VALUE.fullmatch(inside)
    if number and math.isfinite(float(number[1])):
        return Number(float(number[1]), percent=bool(number[2]))
    column = _COLUMN.fullmatch(inside)
    if column:
        return Column(int(column[1]))
    if _ADDRESS.fullmatch(inside):
        return Reference(inside.upper())
    if _QUOTED.fullmatch(inside):
        return Text(_unquote(inside))
    if _QUANTITY.fullmatch(inside) or _DATE.fullmatch(inside):
        return Text(inside)
    raise _error(text, position, "a number, column, address, date or quoted text")


def _value_call(text, start, name, values):
    function, subject = FUNCTIONS[name], None
    counted = function.takes == "count"
    if name in ("Top", "Bottom") and any(_is_percent(value) for value in values):
        name += "Percent"
    values = [_meant(value, counted) for value in values]
    scalar = values and (isinstance(values[0], Column) or _is_length(values[0]))
    if scalar and (counted or len(values) > function.most):
        subject, values = values[0], values[1:]
    if name in ("Top", "Bottom") and not values:
        values = [Number(1.0)]
    return _checked(text, start, Call(name, tuple(values), subject))


def _is_percent(value):
    return isinstance(value, Number) and value.percent


def _meant(value, counted):
    if not _is_percent(value):
        return value
    return Number(value.value if counted else value.value / 100)


def _is_length(value):
    return isinstance(value, Call) and value.name == "LEN"


def _checked(text, start, call):
    function = FUNCTIONS[call.name]
    given = len(call.arguments)
    if not function.least <= given <= function.most:
        counts = sorted({function.least, function.most})
        wanted = " to ".join(map(str, counts))
        raise _error(text, start, f"{wanted} arguments for {call.name}, not {given}")
    for argument in call.arguments:
        name = argument.name if isinstance(argument, Call) else None
        if function.takes == "rules" and (name == "LEN" or FUNCTIONS[name].visual):
            raise _error(text, start, f"conditions in {call.name}, not {name}")
        if function.takes == "values" and name not in (None, "LEN"):
            raise _error(text, start, f"values in {call.name}, not {name}")
        if function.takes == "count" and not isinstance(argument, Number):
            raise _error(text, start, f"a number in {call.name}")
    if function.takes == "column" and not isinstance(call.subject, Column):
        raise _error(text, start, "LEN of a column")
    return call

"""The markup of the tldr pages taken out: what a description and a command say.

In a command, `{{path/to/file}}` is a value to fill in and becomes its content, less
the dots of `{{file1 file2 ...}}`; of `{{[-s|--long]}}` the short option is taken, and
of other alternatives, `{{json|yaml}}`, the first. In a description, `[x]` marks the
letters that name an option.
"""

import re

_FIELD = re.compile(r"\{\{(.*?)\}\}(?!\})")
_OPTION = re.compile(r"\[([^|]+)\|.*\]")
_ALTERNATIVES = re.compile(r"""([^|\s"'()\[\]]+)(?:\|[^|\s"'()\[\]]+)+""")
_MNEMONIC = re.compile(r"\[(-?[A-Za-z0-9]+)\]")
_INTERACTIVE = "[Interactive]"
_KEYS = re.compile(r"<\w[^<>]*>.*|.*<(?:Enter|Space|Tab|Esc|(?:Ctrl|Alt|Shift) \S+)>.*")
_LEFT = ("{{", r"\{\{")


def command(text):
    """Returns (command, repairs, fault): fault says why it cannot be used, or is "".

    Args:
      text: a command with markup.
    """
    repairs, faults = [], []

    def content(match):
        kind, value = _content(match[1])
        (repairs if value is not None else faults).append(kind)
        return value or ""

    plain = _FIELD.sub(content, text).strip()
    if any(mark in plain for mark in _LEFT):
        faults.append("markup is left: it still holds {{")
    return plain, list(dict.fromkeys(repairs)), faults[0] if faults else ""


def _content(field):
    """Returns (repair or fault, what stands for a field or None)."""
    if "|" not in field:
        return "a value filled in by its name", field.removesuffix(" ...")
    if option := _OPTION.fullmatch(field):
        return "the short option taken", option[1]
    if first := _ALTERNATIVES.fullmatch(field):
        return "the first of several values taken", first[1]
    return "alternatives that cannot be told from a pipe", None


def description(text):
    """Returns (description, repairs).

    Args:
      text: a description with markup; what is between backquotes is code and stays.
    """
    parts = text.strip().split("`")
    parts[::2] = [_MNEMONIC.sub(r"\1", part) for part in parts[::2]]
    plain = "`".join(parts)
    repairs = [] if plain == text.strip() else ["brackets of mnemonics taken out"]
    if plain.endswith(":"):
        repairs.append("colon at the end taken out")
    return plain.rstrip(":").rstrip(), repairs


def is_typed_inside(text, keys):
    """Returns whether an example is for a program's own prompt and not for a shell's.

    Args:
      text: its description, with markup.
      keys: its command, with markup.
    """
    return text.startswith(_INTERACTIVE) or bool(_KEYS.fullmatch(keys))

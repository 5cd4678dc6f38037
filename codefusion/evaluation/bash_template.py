"""Reduces a Bash command to its template: what it does, without what it does it to.

Kept literally: utilities, flags, shell keywords, pipes and other operators,
redirections, command and process substitutions, and the operators of `find`
(parentheses, `!`, `-exec ... ;` and `-exec ... +`). Every other word, quoted or not,
becomes ARG; a substitution inside it stays. Comments go, line ends are `;`, a
backtick is `$(`, quotes around a flag or an operator do not count.

The strict form keeps the order of words, flags as they were written (`-la`, `-n10`
as `-nARG`, `--x=1` as `--x=ARG`) and the sign of a number (`-mtime +7`). The loose
form ignores what seldom changes a command's meaning: the words after a utility are
sorted, `-la` is `-a -l`, `-n10` is `-n ARG`, `--x=1` is `--x ARG`, signs are dropped,
`/bin/ls` is `ls`, `1>` is `>`, and in `find` `-not` is `!`, `-or` is `-o` and `-a` is
left out. Sorting forgets which flag an argument belonged to, because no grammar of
utilities is kept.

NL2Bash prints the type of an argument (File, Regex) from such a grammar; here every
type is ARG, so equal templates mean a little less.
"""

import functools
import itertools
import re

from codefusion.data import syntax

ARG = "ARG"
_STATEMENTS = frozenset(
    "command pipeline list redirected_statement negated_command subshell "
    "compound_statement if_statement while_statement for_statement "
    "c_style_for_statement case_statement function_definition test_command "
    "variable_assignment variable_assignments declaration_command "
    "unset_command".split()
)
_SUBSTITUTIONS = ("command_substitution", "process_substitution")
_WORDS = (
    "word string raw_string ansi_c_string translated_string concatenation number "
    "simple_expansion expansion arithmetic_expansion brace_expression variable_name "
    "special_variable_name subscript extglob_pattern regex array heredoc_start "
    "heredoc_body command_name".split()
)
_FIND = ("find", "gfind")
_EXEC = ("-exec", "-execdir", "-ok", "-okdir")
_FIND_VALUES = frozenset(
    "-name -iname -path -ipath -wholename -iwholename -regex -iregex -lname -ilname "
    "-type -xtype -size -perm -user -group -uid -gid -mtime -atime -ctime -mmin -amin "
    "-cmin -newer -anewer -cnewer -newermt -maxdepth -mindepth -inum -links -fstype "
    "-samefile -used -printf -fprint -regextype".split()
)
_OPERATORS = ("(", ")", "!", ",")
_SYNONYMS = {"-not": ["!"], "-or": ["-o"], "-a": [], "-and": []}
# Utilities whose options are words after one dash, so that no letters are combined.
_WORD_OPTIONS = frozenset(
    "find gfind java javac gcc g++ cc clang go openssl convert mogrify identify "
    "montage ffmpeg ffprobe mplayer mencoder sox xset xrandr xmodmap setxkbmap "
    "xdotool mdfind exiftool terraform qemu".split()
)
# Digits that are flags; any other digit after a dash is a number.
_DIGIT_FLAGS = {"xargs": "0", "ls": "1", "comm": "1-3", "du": "0", "gzip": "1-9"}
# Utilities that run the command after them: flags that take the next word, and how
# many words come before that command.
_WRAPPERS = {
    "sudo": ("-C -g -h -p -r -t -u --user --group".split(), 0),
    "xargs": ("-E -I -L -P -a -d -n -s --delimiter --max-args --max-procs".split(), 0),
    "env": ("-u -C".split(), 0),
    "nice": ("-n --adjustment".split(), 0),
    "ionice": ("-c -n".split(), 0),
    "timeout": ("-k -s --signal".split(), 1),
    "time": ("-f -o".split(), 0),
    "watch": ("-n --interval".split(), 0),
    "nohup": ([], 0),
    "exec": (["-a"], 0),
    "command": ([], 0),
    "builtin": ([], 0),
    "setsid": ([], 0),
}


@functools.lru_cache(maxsize=32_768)
def template(text, *, loose):
    """Returns the template of a command, or None if it does not parse or is empty.

    Args:
      text: a Bash command, str.
      loose: whether to return the loose form, bool.

    Returns:
      Tokens joined by spaces, str, or None.
    """
    if not syntax.is_text(text):
        return None
    tree = syntax.parse(text, "bash")
    if tree.root_node.has_error or not syntax.is_shallow(tree):
        return None
    try:
        return " ".join(_tokens(tree.root_node, loose)) or None
    except RecursionError:  # a chain such as `sudo sudo sudo ...`, flat in the tree
        return None


def _tokens(node, loose):
    """Returns the template of one node of the tree, list[str]."""
    if node.type in _HANDLERS:
        return _HANDLERS[node.type](node, loose)
    if node.child_count == 0:
        return [ARG] if node.is_named else [node.type]
    return _sequence(node.children, loose)


def _sequence(children, loose):
    """Returns children one after the other, with `;` between adjacent statements."""
    tokens, after_statement = [], False
    for child in children:
        if child.type == ";":
            continue
        if after_statement and child.type in _STATEMENTS:
            tokens.append(";")
        tokens += _tokens(child, loose)
        after_statement = child.type in _STATEMENTS
    return tokens


def _command(node, loose, more=()):
    """Returns assignments, then the utility with its words, then redirections."""
    before, words, after = [], [], []
    for child in node.children:
        if child.type == "variable_assignment" and not words:
            before += _tokens(child, loose)
        elif child.type.endswith("_redirect"):
            after += _tokens(child, loose)
        else:
            words.append(child)
    return before + _simple([*words, *more], loose) + after


def _redirected(node, loose):
    """Returns a statement with its redirections.

    tree-sitter takes all words after `>` for destinations. Only the first is one; the
    others are given back to the command.
    """
    words = [
        word
        for child in node.children
        if child.type == "file_redirect"
        for word in child.children_by_field_name("destination")[1:]
    ]
    body = node.child_by_field_name("body")
    tokens = []
    for child in node.children:
        if child == body and body.type == "command":
            tokens += _command(body, loose, words)
        elif child == body:
            tokens += [*_tokens(body, loose), *_flat(_word(w, loose) for w in words)]
        else:
            tokens += _tokens(child, loose)
    return tokens


def _file_redirect(node, loose):
    """Returns descriptor and operator as one token, and the destination.

    The destination is part of the token where it names a descriptor, as in `2>&1`.
    """
    destinations = node.children_by_field_name("destination")
    marks = [child for child in node.children if child not in destinations]
    mark = "".join(_text(child) for child in marks)
    if loose:
        mark = re.sub(r"^(1(?=>)|0(?=<))", "", mark)
    if not destinations:
        return [mark]
    if mark.endswith("&") and destinations[0].type == "number":
        return [mark + _text(destinations[0])]
    return [mark, *_word(destinations[0], loose)]


def _simple(words, loose):
    """Returns a utility and its words, each either a flag, an operator or ARG."""
    if not words:
        return []
    name = _plain(words[0])
    utility, rest = name.rsplit("/", 1)[-1], []
    if utility in _FIND:
        items = _find_items(words[1:], loose)
    elif utility in _WRAPPERS:
        items, rest = _wrapper_items(utility, words[1:], loose)
    else:
        items = _items(utility, words[1:], loose)
    if loose:
        items, name = sorted(items), utility if name.startswith("/") else name
    head = _word(words[0], loose) if "$" in name or "`" in name else [name]
    return [*head, *_flat(items), *_simple(rest, loose)]


def _items(utility, words, loose):
    """Returns the template of each word, list[list[str]]; none is a flag after `--`."""
    items, options = [], True
    for word in words:
        items += _item(utility, word, loose) if options else [_word(word, loose)]
        options = options and _plain(word) != "--"
    return items


def _find_items(words, loose):
    """Returns the words of `find`; a whole `-exec ... ;` is one item."""
    items, index, value_follows = [], 0, False
    while index < len(words):
        plain = _plain(words[index])
        if value_follows:
            items.append(_number(plain, loose) or _word(words[index], loose))
        elif plain in _EXEC:
            end = _exec_end(words, index + 1)
            inner = _simple(words[index + 1 : end], loose)
            items.append([plain, *inner, *map(_plain, words[end : end + 1])])
            index = end
        elif loose and plain in _SYNONYMS:
            items.append(_SYNONYMS[plain])
        elif plain in _OPERATORS:
            items.append([plain])
        else:
            items += _item("find", words[index], loose)
        value_follows = not value_follows and plain in _FIND_VALUES
        index += 1
    return items


def _exec_end(words, start):
    """Returns the index of the `;` or of the `+` after `{}` that ends an `-exec`."""
    for index in range(start, len(words)):
        plain = _plain(words[index])
        if plain == ";" or plain == "+" and _plain(words[index - 1]) == "{}":
            return index
    return len(words)


def _wrapper_items(utility, words, loose):
    """Returns the wrapper's own words, and the words of the command that it runs."""
    takes_next, positionals = _WRAPPERS[utility]
    items, value_follows = [], False
    for index, word in enumerate(words):
        plain = _plain(word)
        if value_follows:
            items.append(_word(word, loose))
            value_follows = False
        elif plain.startswith("-") and plain != "-":
            items += _item(utility, word, loose)
            last = re.fullmatch(r"-[A-Za-z0-9]*([A-Za-z])", plain)
            value_follows = (f"-{last[1]}" if last else plain) in takes_next
        elif re.match(r"[A-Za-z_]\w*=", plain):
            items.append([f"{ARG}={ARG}", *_word(word, loose)[1:]])
        elif positionals:
            items.append(_word(word, loose))
            positionals -= 1
        else:
            return items, words[index:]
    return items, []


def _item(utility, word, loose):
    """Returns a word after a utility: one item, or in loose form one for each flag."""
    plain = _plain(word)
    flag = _flag(utility, plain)
    if plain == "-" or not plain.startswith("-") or not flag:
        return [_number(plain, loose) or _word(word, loose)]
    more = flag != plain or flag.endswith("=")
    value = [ARG] * more + _word(word, loose)[1:]
    if not loose:
        return [["".join([flag, *value[:1]]), *value[1:]]]
    if flag.startswith("--") or utility in _WORD_OPTIONS:
        flags = [[flag.removesuffix("=")]] if flag != "--" else []
    else:
        flags = [[f"-{letter}"] for letter in flag[1:]]
    return [*flags, value] if value else flags


def _flag(utility, plain):
    """Returns the leading part of a word that is a flag or several, "" if none is."""
    letters = "A-Za-z" + _DIGIT_FLAGS.get(utility, "")
    if plain.startswith("--") or utility in _WORD_OPTIONS:
        found = re.match(r"--?[A-Za-z][\w-]*=?|--$", plain)
    else:
        found = re.match(rf"-[{letters}]+", plain)
    return found[0] if found else ""


def _number(plain, loose):
    """Returns ARG with its sign for a word such as `+7` or `-10k`, None for others."""
    signed = re.match(r"[-+](?=\d)", plain)
    return signed and [ARG if loose else signed[0] + ARG]


def _word(node, loose):
    """Returns ARG and the substitutions inside a word, list[str].

    A word that is one substitution, quoted or not, is that substitution alone.
    """
    if node.type in ("string", "command_name") and node.named_child_count == 1:
        inside = node.named_children[0]
        node = inside if inside.type in _SUBSTITUTIONS else node
    if node.type in _SUBSTITUTIONS:
        return _tokens(node, loose)
    tokens, waiting = [ARG], list(reversed(node.children))
    while waiting:
        child = waiting.pop()
        if child.type in _SUBSTITUTIONS:
            tokens += _tokens(child, loose)
        else:
            waiting.extend(reversed(child.children))
    return tokens


def _substitution(node, loose):
    opening = node.children[0].type.replace("`", "$(")
    return [opening, *_sequence(node.children[1:-1], loose), ")"]


def _declaration(node, loose):
    """Returns `export`, `declare` and their like as a utility with its words."""
    return _simple(node.children, loose)


def _literal(node, loose):
    return [_text(node)]


def _nothing(node, loose):
    return []


def _text(node):
    return node.text.decode(errors="replace")


def _plain(node):
    """Returns the text of a word without its backslashes and the quotes around it."""
    raw = _text(node)
    quoted = re.fullmatch(r"""'([^']*)'|"([^"$`\\]*)\"""", raw)
    return (quoted[1] or quoted[2] or "") if quoted else raw.replace("\\", "")


def _flat(lists):
    return list(itertools.chain.from_iterable(lists))


_HANDLERS = {
    **dict.fromkeys(_WORDS, _word),
    **dict.fromkeys(_SUBSTITUTIONS, _substitution),
    "command": _command,
    "redirected_statement": _redirected,
    "file_redirect": _file_redirect,
    "declaration_command": _declaration,
    "unset_command": _declaration,
    "test_operator": _literal,
    "file_descriptor": _literal,
    "comment": _nothing,
    "heredoc_end": _nothing,
}

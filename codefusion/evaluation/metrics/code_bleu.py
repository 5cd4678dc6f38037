"""A CodeBLEU-style score: n-grams, n-grams with weighted keywords, and syntax."""

import collections
import dataclasses
import functools
import hashlib
import math
from typing import ClassVar

from codefusion.data import syntax

_KEYWORD_WEIGHT, _OTHER_WEIGHT = 1.0, 0.2
_ORDER = 4
_BLANK = frozenset(["\n", ""])


@dataclasses.dataclass(frozen=True)
class CodeBleuStyle:
    """Mean of BLEU, keyword-weighted BLEU and syntax match, for one pair of programs.

    It differs from CodeBLEU (Ren et al., 2020) in this:

    - there is no data-flow part, and the three others weigh a third each;
    - it scores one pair, not a corpus: orders above 1 are smoothed by adding one to
      matches and totals, and orders that either text is too short for are left out;
    - tokens are the leaves of the tree-sitter tree, not words between spaces, and
      keywords are the grammar's own (in Bash also utilities and flags), not a list;
    - matched subtrees are clipped at how often the prediction has them, and a subtree
      is known by its kinds of nodes, its names and literals left out.
    """

    name: ClassVar[str] = "code_bleu_style"
    languages: ClassVar[tuple[str, ...] | None] = ("bash", "python")
    language: str

    def score(self, prediction, example):
        """Returns the score in [0, 1]; see `ExactMatch.score`."""
        if not (syntax.is_text(prediction) and syntax.is_text(example.code)):
            return 0.0
        guess, guess_trees = _analyse(prediction, self.language)
        gold, gold_trees = _analyse(example.code, self.language)
        if not guess or not gold:
            return 0.0
        syntax_match = _share(gold_trees, guess_trees)
        plain = _bleu(guess, gold, weigh=False)
        weighted = _bleu(guess, gold, weigh=True)
        return (plain + weighted + syntax_match) / 3.0


def _bleu(guess, gold, *, weigh):
    """Returns BLEU of one token list against another, up to 4-grams.

    Args:
      guess: predicted tokens, tuple of (text, is_keyword).
      gold: reference tokens, likewise.
      weigh: whether keywords count five times as much among the 1-grams, bool.

    Returns:
      Geometric mean of the clipped precisions times the brevity penalty, float.
    """
    orders = range(1, min(_ORDER, len(guess), len(gold)) + 1)
    logs = []
    for n in orders:
        found, wanted = _grams(guess, n), _grams(gold, n)
        weights = {gram: _weight(gram) if weigh and n == 1 else 1.0 for gram in found}
        total = sum(weights[gram] * count for gram, count in found.items())
        shared = sum(weights[g] * min(c, wanted[g]) for g, c in found.items())
        smooth = float(n > 1)
        if not shared + smooth:
            return 0.0
        logs.append(math.log((shared + smooth) / (total + smooth)))
    brevity = min(0.0, 1.0 - len(gold) / len(guess))
    return math.exp(sum(logs) / len(logs) + brevity)


def _grams(tokens, n):
    return collections.Counter(zip(*(tokens[i:] for i in range(n)), strict=False))


def _weight(gram):
    return _KEYWORD_WEIGHT if gram[0][1] else _OTHER_WEIGHT


def _share(wanted, found):
    """Returns the share of the wanted bag that the found bag holds, float."""
    return (wanted & found).total() / wanted.total() if wanted else 1.0


@functools.lru_cache(maxsize=16_384)
def _analyse(text, language):
    """Returns the tokens of a program and the bag of its subtrees.

    A subtree is a node with all below it, written as a hash of the kinds of nodes.
    """
    tree = syntax.parse(text, language)
    tokens, kinds, bag = [], {}, collections.Counter()
    nodes = [node for node, _ in syntax.nodes(tree)]
    for node in nodes:
        if node.child_count == 0 and node.type not in _BLANK and node.text.strip():
            tokens.append((node.text, _is_keyword(node)))
    for node in reversed(nodes):  # children before their parents
        if node.child_count:
            below = b" ".join(kinds[child.id] for child in node.children)
            shape = b"%b(%b)" % (node.type.encode(), below)
            kinds[node.id] = hashlib.blake2b(shape, digest_size=8).digest()
            bag[kinds[node.id]] += 1
        else:
            kinds[node.id] = node.type.encode()
    return tuple(tokens), bag


def _is_keyword(node):
    """Returns whether a leaf is a keyword, and in Bash also a utility or a flag."""
    if not node.is_named:
        return node.type.isalpha()
    in_name = node.parent is not None and node.parent.type == "command_name"
    return in_name or (node.type == "word" and node.text.startswith(b"-"))

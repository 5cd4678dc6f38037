"""Wordings of single conditions, and of their negations."""

from codefusion.data.builders.generated.phrasings import Phrases

_GREATER = (
    "greater than {a}",
    "above {a}",
    "more than {a}",
    "over {a}",
    "larger than {a}",
    "bigger than {a}",
    "higher than {a}",
    "in excess of {a}",
    "> {a}",
)
_GREATER_EQUAL = (
    "greater than or equal to {a}",
    "at least {a}",
    "{a} or more",
    "{a} or above",
    "{a} or higher",
    "not less than {a}",
    "equal to or greater than {a}",
    "no smaller than {a}",
    ">= {a}",
)
_LESS = (
    "less than {a}",
    "below {a}",
    "under {a}",
    "smaller than {a}",
    "lower than {a}",
    "beneath {a}",
    "fewer than {a}",
    "< {a}",
)
_LESS_EQUAL = (
    "less than or equal to {a}",
    "at most {a}",
    "{a} or less",
    "{a} or below",
    "{a} or lower",
    "not more than {a}",
    "equal to or less than {a}",
    "no greater than {a}",
    "<= {a}",
)
_EQUAL = (
    "equal to {a}",
    "{a}",
    "exactly {a}",
    "the same as {a}",
    "= {a}",
)
_CONTAIN = (
    "contain {a}|contains {a}",
    "contain the text {a}|contains the text {a}",
    "include {a}|includes {a}",
    "have {a} in them|has {a} in it",
    "contain the word {a}|contains the word {a}",
    "mention {a} somewhere|mentions {a} somewhere",
    "have {a} in their text|has {a} in its text",
)
_START = (
    "start with {a}|starts with {a}",
    "begin with {a}|begins with {a}",
    "have text starting with {a}|has text starting with {a}",
    "open with {a}|opens with {a}",
    "start with the letters {a}|starts with the letters {a}",
    "have {a} at the start|has {a} at the start",
    "have {a} as their first characters|has {a} as its first characters",
    "have the prefix {a}|has the prefix {a}",
)
_END = (
    "end with {a}|ends with {a}",
    "end in {a}|ends in {a}",
    "have text ending with {a}|has text ending with {a}",
    "finish with {a}|finishes with {a}",
    "have {a} at the end|has {a} at the end",
    "have {a} as their last characters|has {a} as its last characters",
    "have the suffix {a}|has the suffix {a}",
    "close with {a}|closes with {a}",
)

ATOMS = {
    "greater_than": Phrases(
        are=_GREATER,
        do=("exceed {a}|exceeds {a}", "go over {a}|goes over {a}"),
        full=(
            "apply greaterThan = {a} conditional formatting{where}{paint}",
            "{mark} {col} > {a}{where}",
        ),
    ),
    "greater_than_equal": Phrases(
        are=_GREATER_EQUAL,
        do=("reach {a}|reaches {a}",),
        full=("apply greaterThanOrEqual = {a} formatting{where}{paint}",),
    ),
    "less_than": Phrases(
        are=_LESS,
        do=("fall below {a}|falls below {a}", "stay under {a}|stays under {a}"),
        full=(
            "apply lessThan = {a} conditional formatting{where}{paint}",
            "{mark} {col} < {a}{where}",
        ),
    ),
    "less_than_equal": Phrases(
        are=_LESS_EQUAL,
        do=("do not exceed {a}|does not exceed {a}",),
        full=("apply lessThanOrEqual = {a} formatting{where}{paint}",),
    ),
    "equals": Phrases(
        are=_EQUAL,
        do=("equal {a}|equals {a}", "hold the number {a}|holds the number {a}"),
        full=(
            "apply equalTo = {a} conditional formatting{where}{paint}",
            "{mark} all {a}{where}{paint}",
            "{mark} the value {a}{where}{paint}",
        ),
    ),
    "not_equals": Phrases(
        are=(
            "not equal to {a}",
            "not {a}",
            "different from {a}",
            "anything but {a}",
            "other than {a}",
            "<> {a}",
            "unequal to {a}",
        ),
        do=("do not equal {a}|does not equal {a}", "differ from {a}|differs from {a}"),
        full=("apply notEqualTo = {a} conditional formatting{where}{paint}",),
    ),
    "text_equals": Phrases(
        are=_EQUAL,
        do=(
            "equal {a}|equals {a}",
            "say {a}|says {a}",
            "read {a}|reads {a}",
            "show {a}|shows {a}",
        ),
        full=(
            "apply equalTo = {a} conditional formatting{where}{paint}",
            "{mark} {a} on {col} value{where}",
            "{mark} value {a}{where}{paint}",
            "{mark} {cells} marked as {a}{where}{paint}",
            "{mark} {col} {a}{paint}",
        ),
    ),
    "text_contains": Phrases(
        do=_CONTAIN,
        full=(
            "apply textContains = {a} conditional formatting{where}{paint}",
            "{mark} {cells} containing {a}{where}{paint}",
            "{mark} cell with text {a}{where}{paint}",
            "{mark} {cells} with {a} in the {col}{paint}",
        ),
    ),
    "starts_with": Phrases(
        do=_START,
        full=(
            "{mark} {cells} starting with {a}{where}{paint}",
            "{mark} {col} beginning with {a}{paint}",
        ),
    ),
    "ends_with": Phrases(
        do=_END,
        full=(
            "{mark} {cells} ending with {a}{where}{paint}",
            "{mark} {col} ending in {a}{paint}",
        ),
    ),
    "blanks": Phrases(
        are=(
            "blank",
            "empty",
            "left blank",
            "without a value",
            "not filled in",
            "missing a value",
        ),
        do=("have no value|has no value", "contain nothing|contains nothing"),
        full=(
            "{mark} blanks{where}{paint}",
            "{mark} empty {col} cells{paint}",
            "apply conditional formatting of blanks{where}{paint}",
            "find the blank cells{where}",
        ),
    ),
}

_NOT_DO = (
    "do not contain {a}|does not contain {a}",
    "don't contain {a}|doesn't contain {a}",
    "do not include {a}|does not include {a}",
    "lack the text {a}|lacks the text {a}",
    "do not have {a} in them|does not have {a} in it",
    "never mention {a}|never mentions {a}",
)

NEGATED = {
    "text_not_equals": Phrases(
        are=(
            "not equal to {a}",
            "not {a}",
            "different from {a}",
            "anything but {a}",
            "other than {a}",
        ),
        do=(
            "do not equal {a}|does not equal {a}",
            "do not say {a}|does not say {a}",
            "do not read {a}|does not read {a}",
        ),
        full=("{mark} everything except {a}{where}{paint}",),
    ),
    "text_not_contains": Phrases(
        do=_NOT_DO,
        full=(
            "{mark} {cells} not containing {a}{where}{paint}",
            "{mark} {cells} without {a} in the text{where}{paint}",
        ),
    ),
    "not_between": Phrases(
        are=(
            "not between {a} and {b}",
            "outside {a} to {b}",
            "not from {a} to {b}",
            "outside the range {a} to {b}",
            "out of the limits {a} and {b}",
        ),
        do=(
            "do not lie between {a} and {b}|does not lie between {a} and {b}",
            "fall outside {a} and {b}|falls outside {a} and {b}",
        ),
        full=("apply notBetween {a} and {b} conditional formatting{where}{paint}",),
    ),
    "not_blanks": Phrases(
        are=("not blank", "not empty", "filled in", "nonblank", "non-empty"),
        do=("have a value|has a value", "have any content|has any content"),
        full=(
            "{mark} non blank cells{where}{paint}",
            "{mark} {cells}{where} unless blank{paint}",
        ),
    ),
    "unique": Phrases(
        are=("unique", "not duplicated", "not repeated", "not duplicates"),
        do=("appear only once|appears only once", "have no duplicate|has no duplicate"),
        full=(
            "{mark} unique {col}{where}{paint}",
            "find unique values{where}{paint}",
            "apply conditional formatting for unique values{where}{paint}",
        ),
    ),
}

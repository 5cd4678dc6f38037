"""Wordings of rules that are asked for as a whole: ranks, averages, visual rules."""

from codefusion.data.builders.generated.phrasings import Phrases

_RANGED = Phrases(
    are=(
        "between {a} and {b}",
        "from {a} to {b}",
        "in the range {a} to {b}",
        "between {a} - {b}",
        "within {a} and {b}",
    ),
    do=(
        "have a value between {a} and {b}|has a value between {a} and {b}",
        "lie between {a} and {b}|lies between {a} and {b}",
        "fall between {a} and {b}|falls between {a} and {b}",
        "range from {a} to {b}|ranges from {a} to {b}",
    ),
    full=(
        "apply between {a} and {b} conditional formatting{where}{paint}",
        "{mark} {col} between {a} to {b}{where}{paint}",
    ),
)

_TOP = (
    "{mark} the top {a} {col}{where}{paint}",
    "{mark} top {a} values{where}{paint}",
    "{mark} the {a} highest {col}{where}{paint}",
    "{mark} the highest {a} values{where}{paint}",
    "find top {a} items{where}",
    "apply top {a} conditional formatting{where}{paint}",
    "apply topItems = {a} conditional formatting{where}{paint}",
    "{mark} the {a} largest numbers{where}{paint}",
    "identify the top {a} {col}{where}",
    "{mark} the {a} greatest {col}{where}{paint}",
)
_BOTTOM = (
    "{mark} the bottom {a} {col}{where}{paint}",
    "{mark} bottom {a} values{where}{paint}",
    "{mark} the {a} lowest {col}{where}{paint}",
    "{mark} the lowest {a} values{where}{paint}",
    "find bottom {a} items{where}",
    "apply bottom {a} conditional formatting{where}{paint}",
    "apply bottomItems = {a} conditional formatting{where}{paint}",
    "{mark} the {a} smallest numbers{where}{paint}",
    "identify the bottom {a} {col}{where}",
    "{mark} the {a} least {col}{where}{paint}",
)
_TOP_PERCENT = (
    "{mark} the top {a}% {col}{where}{paint}",
    "{mark} top {a}% of values{where}{paint}",
    "{mark} the highest {a}% {col}{where}{paint}",
    "apply top {a}%{where}{paint}",
    "find the top {a} percent{where}",
    "{mark} the top {a} percent of {col}{paint}",
    "apply topPercent = {a} conditional formatting{where}{paint}",
    "{mark} the largest {a}% of numbers{where}{paint}",
    "identify top {a}% of {col}{where}",
)
_BOTTOM_PERCENT = (
    "{mark} the bottom {a}% {col}{where}{paint}",
    "{mark} bottom {a}% of values{where}{paint}",
    "{mark} the lowest {a}% {col}{where}{paint}",
    "apply bottom {a}%{where}{paint}",
    "find the bottom {a} percent{where}",
    "{mark} the bottom {a} percent of {col}{paint}",
    "apply bottomPercent = {a} conditional formatting{where}{paint}",
    "{mark} the smallest {a}% of numbers{where}{paint}",
    "identify bottom {a}% of {col}{where}",
)

WHOLE = {
    "between": _RANGED,
    "top": Phrases(full=_TOP),
    "bottom": Phrases(full=_BOTTOM),
    "top_percent": Phrases(full=_TOP_PERCENT),
    "bottom_percent": Phrases(full=_BOTTOM_PERCENT),
    "above_average": Phrases(
        are=(
            "above average",
            "above the average",
            "higher than average",
            "over the mean",
            "better than the average",
            "greater than the average",
        ),
        do=("beat the average|beats the average",),
        full=(
            "{mark} above average {col}{where}{paint}",
            "apply aboveAverage conditional formatting{where}{paint}",
        ),
    ),
    "below_average": Phrases(
        are=(
            "below average",
            "below the average",
            "lower than average",
            "under the mean",
            "worse than the average",
            "less than the average",
        ),
        do=("miss the average|misses the average",),
        full=(
            "{mark} below average {col}{where}{paint}",
            "apply belowAverage conditional formatting{where}{paint}",
        ),
    ),
    "duplicates": Phrases(
        are=("duplicated", "duplicates", "repeated", "duplicate values"),
        do=(
            "appear more than once|appears more than once",
            "occur several times|occurs several times",
        ),
        full=(
            "{mark} duplicates{where}{paint}",
            "find duplicate {col}{where}{paint}",
            "apply conditional formatting for duplicate values{where}{paint}",
        ),
    ),
    "errors": Phrases(
        are=("errors", "in error", "an error value"),
        do=(
            "contain errors|contains an error",
            "return an error|returns an error",
            "have an error|has an error",
        ),
        full=(
            "{mark} errors{where}{paint}",
            "find formulas with errors{where}",
            "apply conditional formatting for errors{where}{paint}",
        ),
    ),
    "color_scale": Phrases(
        full=(
            "apply color scale{where}",
            "apply a color scale to {col}{where}",
            "apply conditional formatting of color scale{where}",
            "change color scale{where}",
            "shade {col} from low to high{where}",
            "add gradient colors to {col} by value{where}",
            "apply Green-Yellow-Red color scale{where}",
            "color {col} from highest to lowest{where}",
            "use a heat map for {col}{where}",
            "apply 3 color scale{where}",
        )
    ),
    "data_bar": Phrases(
        full=(
            "add data bars{where}",
            "add data bars to {col}{where}",
            "apply data bar conditional formatting{where}",
            "insert value bars{where}",
            "show {col} with horizontal bars{where}",
            "apply gradient fill bars{where}",
            "compare {col} using data bars{where}",
            "put a bar in each cell{where}",
            "draw bars for {col}{where}",
        )
    ),
    "icon_set": Phrases(
        full=(
            "add icon set{where}",
            "add icons to {col}{where}",
            "apply icon set{where}",
            "apply directional icons{where}",
            "insert an icon set for {col}{where}",
            "apply conditional formatting of icon sets{where}",
            "show arrows next to {col}{where}",
            "rate {col} with icons{where}",
            "apply traffic light icons{where}",
        )
    ),
}

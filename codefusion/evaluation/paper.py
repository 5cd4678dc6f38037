"""Figures of the CodeFusion paper (Singh et al., EMNLP 2023), second-hand.

They are quoted from readers' notes on the paper and agree with a published summary
where the two overlap; a cell that neither shows stays blank. The means of table 3 are
worked out from its columns, that of Diffusion-LM from the stated difference of 33.8
points. The time of training adds up about 8 hours of pre-training and 3 of fine-tuning
for each language, on four V100.
"""

SOURCE = (
    "Singh et al., CodeFusion, EMNLP 2023, second-hand: from readers' notes, means "
    "worked out; blank where these show no figure. The paper's split and metrics may "
    "differ from ours in detail; it trained on four V100; its latency, on unknown "
    "hardware, is taken to be that of its 1,200 steps."
)

_LANGUAGES = ("Python", "Bash", "CF")


def _each(group, figure):
    """Returns a figure of all three languages alike."""
    return {(group, language): figure for language in _LANGUAGES}


# table -> system -> (group, title) of the column -> figure as printed.
FIGURES = {
    "table1": {
        "CodeFusion 75M": {
            ("Python CodeBERTScore", "top-1"): 80.7,
            ("Python CodeBERTScore", "top-5"): 90.3,
            ("Bash template match", "top-5"): 72.0,
            ("CF execution match", "top-5"): 78.5,
            **_each("parameters, M", 75.0),
            **_each("training, min", 660.0),
        },
        "GPT-3 175B": {
            ("Python CodeBERTScore", "top-1"): 82.5,
            ("Python CodeBERTScore", "top-5"): 85.8,
            **_each("parameters, M", 175_000.0),
        },
        "CodeT5 770M": {
            ("Bash template match", "top-5"): 70.5,
            ("CF execution match", "top-5"): 75.8,
            **_each("parameters, M", 770.0),
        },
        "T5": {},
        "ChatGPT": {},
        "StarCoder": {},
        "CodeGen": {},
        "Diffusion-LM": {},
        "GENIE": {},
    },
    "table2": {
        "CodeFusion 75M": {
            ("distinct n-grams", "4"): 0.81,
            ("between candidates", "edit distance"): 0.57,
        },
        "GPT-3 175B": {("between candidates", "edit distance"): 0.21},
        "StarCoder": {("distinct n-grams", "4"): 0.61},
    },
    "table3": {
        "CodeFusion 75M": {
            ("valid top-1", "Python"): 67.6,
            ("valid top-1", "Bash"): 73.4,
            ("valid top-1", "CF"): 94.5,
            ("valid top-1", "mean"): 78.5,
        },
        "GENIE": {
            ("valid top-1", "Python"): 24.2,
            ("valid top-1", "Bash"): 54.2,
            ("valid top-1", "CF"): 78.6,
            ("valid top-1", "mean"): 52.3,
        },
        "Diffusion-LM": {("valid top-1", "mean"): 44.7},
    },
    "table4": {
        "CodeFusion 75M": {
            ("execution match", "top-5"): 78.5,
            ("valid", "top-1"): 94.5,
        },
        "without unsupervised code generation": {
            ("mean of three languages", "lost, %"): 10.9
        },
        "without CPD": {("mean of three languages", "lost, %"): 4.6},
        "grounding": {},
        "clamping": {},
    },
    "latency": {"CodeFusion 75M": {("ms a request", "1,200 steps"): 2318.0}},
}

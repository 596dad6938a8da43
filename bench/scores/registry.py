"""The registry of scores: what is measured on a pair, in which unit, and which way is better."""

from dataclasses import dataclass


@dataclass(frozen=True)
class Score:
    """One score.

    Attributes:
        name: Key in every file and table.
        title: How figures and tables call it.
        unit: Unit, empty for a ratio.
        best: `max` or `min`.
        description: One line on its definition; docs/scores.md has the formulas.
        digits: Decimals worth printing.
    """

    name: str
    title: str
    unit: str
    best: str
    description: str
    digits: int


SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score(
            "dice",
            "Dice",
            "",
            "max",
            "mean over foreground classes; a class absent from both images is left out",
            3,
        ),
        Score(
            "dice_published",
            "Dice (published)",
            "",
            "max",
            "mean over all classes with background; a class absent from both counts as 0",
            3,
        ),
        Score(
            "hd95",
            "HD95",
            "mm",
            "min",
            "95th percentile of the surface distance, larger direction, mean over foreground "
            "classes that both images have",
            2,
        ),
        Score("folding", "Folding", "", "min", "fraction of voxels with signed Jacobian <= 0", 5),
        Score(
            "sdlogj",
            "SD log J",
            "",
            "min",
            "standard deviation of the log Jacobian, determinants shifted and clipped as the "
            "Learn2Reg challenge does",
            4,
        ),
        Score(
            "logj_var_published",
            "Var log J (published)",
            "",
            "min",
            "variance of the log Jacobian on absolute differences, as the published code has it",
            4,
        ),
        Score("seconds", "Seconds", "s", "min", "time of one registration", 3),
    )
}

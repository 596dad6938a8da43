"""The scores of the tasks perception and synthesis."""

from bench.scores.score import Score

DISTORTIONS = (
    *("noise", "rician", "blur", "bias", "gamma", "motion", "ghosting", "spikes"),
    *("undersampling", "downsampling", "deformation", "lesions"),
)
APPEARANCES = ("noise", "bias", "gamma")  # of these, what a deformation is hidden under
BLIND = "D is the same all along the true path"  # begins the warning of such a metric
IGNORES = (
    f"{BLIND}, in all images: the metric ignores the deformation, or is constant. It must look at "
    "pair.warped, not pair.moving"
)

PERCEPTION: dict[str, Score] = {  # of the task perception, means over images
    score.name: score
    for score in (
        Score(
            "2afc",
            "2AFC",
            best="max",
            digits=3,
            description="share of pairs of levels of a distortion in order, ties a half",
            in_short=True,
        ),
        Score(
            "2afc_adjacent",
            "2AFC (adjacent)",
            best="max",
            digits=3,
            description="the same of adjacent levels",
            in_short=True,
        ),
        Score(
            "rank",
            "Rank correlation",
            best="max",
            digits=3,
            description="Spearman's correlation of D with the strength of a distortion",
        ),
        Score(
            "geometry",
            "Geometry",
            best="max",
            digits=3,
            description="2AFC of deformations under changes of appearance, all with the same MSE",
            in_short=True,
        ),
        Score(
            "appearance",
            "Appearance",
            digits=3,
            description="the same where the order is to follow the change of appearance",
        ),
        Score(
            "jnd",
            "JND",
            best="max",
            digits=3,
            description="average precision: the same anatomy is nearer than another",
            in_short=True,
        ),
        Score(
            "falling",
            "Falling steps",
            best="max",
            digits=3,
            description="share of the steps along the true path in which D falls",
            in_short=True,
        ),
        Score(
            "minimum",
            "Minimum at t",
            best="max",
            digits=3,
            description="where on the true path, from 0 to 1, D is least",
        ),
        Score(
            "basin",
            "Basin",
            best="max",
            digits=3,
            description="share of the true path on which D is below half its way down",
            in_short=True,
        ),
        Score(
            "sections",
            "Sections",
            best="max",
            digits=3,
            description="2AFC: a nearer section of a stack, or frame, is nearer than a farther one",
            in_short=True,
        ),
        Score(
            "persons",
            "Persons",
            best="max",
            digits=3,
            description="2AFC: another visit of the person is nearer than another person",
            in_short=True,
        ),
        Score(
            "contrasts",
            "Contrasts",
            best="max",
            digits=3,
            description="2AFC: the same anatomy in another contrast is nearer than another anatomy "
            "in the same one",
            in_short=True,
        ),
        Score(
            "judged",
            "Judged",
            best="max",
            digits=3,
            description="agreement with people who chose the nearer of two images: 2AFC of LPIPS",
            in_short=True,
        ),
        *(Score(f"2afc_{name}", f"2AFC {name}", best="max", digits=3) for name in DISTORTIONS),
        *(
            Score(f"geometry_{name}", f"Geometry under {name}", best="max", digits=3)
            for name in APPEARANCES
        ),
    )
}

SYNTHESIS: dict[str, Score] = {  # of the task synthesis, besides Dice
    score.name: score
    for score in (
        Score(
            "psnr",
            "PSNR",
            best="max",
            digits=2,
            description="10 log10(r² / MSE), r the range of the true image",
            unit="dB",
            in_short=True,
        ),
        Score(
            "ssim",
            "SSIM",
            best="max",
            digits=3,
            description="mean structural similarity to the true image",
            in_short=True,
        ),
        Score(
            "distance",
            "Distance",
            best="min",
            digits=4,
            description="by a metric that is not the loss, from the true image",
            in_short=True,
        ),
        Score(
            "dice_truth",
            "Dice on the truth",
            digits=3,
            description="Dice of the segmenter's labels of the true image, for comparison",
            has_before=False,
        ),
    )
}

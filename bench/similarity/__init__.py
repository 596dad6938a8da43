"""Similarity metrics D(warped, fixed): losses, 0 is best.

A metric is a callable `metric(pair) -> scalar` and one YAML in `conf/metric/` that names it by
`_target_`; `bench.pair.Pair` says what a pair offers. See docs/metrics.md.
"""

from bench.pair import Pair
from bench.similarity.base import Similarity
from bench.similarity.deepsim import DeepSim
from bench.similarity.dice import Dice
from bench.similarity.keypoints import Keypoints
from bench.similarity.labels import LabelMSE
from bench.similarity.mind import MIND
from bench.similarity.ms_ssim import MSSSIM
from bench.similarity.mse import MSE
from bench.similarity.ncc import NCC
from bench.similarity.nmi import NMI
from bench.similarity.ssim import SSIM
from bench.similarity.weighted_sum import WeightedSum

__all__ = [
    "MIND",
    "MSE",
    "MSSSIM",
    "NCC",
    "NMI",
    "SSIM",
    "DeepSim",
    "Dice",
    "Keypoints",
    "LabelMSE",
    "Pair",
    "Similarity",
    "WeightedSum",
]

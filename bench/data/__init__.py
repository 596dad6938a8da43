"""Data sets: sources of subjects, preprocessing, cache, pairs, augmentation.

A data set is one small class that lists and reads its subjects (`bench.data.sources.source`) and
one YAML in `conf/dataset/`. Nothing here but `bench.data.batches` imports torch, so that a finished
run can be found without it.
"""

from bench.data.cache.prepared import PreparedDataset
from bench.data.cache.preparing import prepare
from bench.data.files.images import read_raw
from bench.data.sources.brain import Brain
from bench.data.sources.cell_tracking import CellTracking
from bench.data.sources.decathlon import Decathlon
from bench.data.sources.demo import Demo
from bench.data.sources.nifti_table import NiftiTable
from bench.data.sources.nnunet import NnUNet
from bench.data.sources.oasis import Oasis
from bench.data.sources.source import Source
from bench.data.sources.subject import Raw, Subject
from bench.data.sources.tiff_stacks import TiffStacks

__all__ = [
    "Brain",
    "CellTracking",
    "Decathlon",
    "Demo",
    "NiftiTable",
    "NnUNet",
    "Oasis",
    "PreparedDataset",
    "Raw",
    "Source",
    "Subject",
    "TiffStacks",
    "prepare",
    "read_raw",
]

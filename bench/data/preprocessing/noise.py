"""Adds noise to the images of a data set."""

from dataclasses import replace

import numpy as np

from bench.data.sources.subject import Sample
from bench.seeding import derive_seed


def with_noise(sample: Sample, deviation: float, subject: str) -> Sample:
    """A preprocessed subject with white Gaussian noise in all voxels of each channel.

    A subject gets the same noise each time; another deviation scales the same pattern.

    Args:
        sample: The subject.
        deviation: Standard deviation of the noise, in normalized intensities.
        subject: Its id.
    """
    random = np.random.default_rng(derive_seed(0, "noise", subject))
    noise = random.standard_normal(sample.image.shape, dtype=np.float32)
    return replace(sample, image=sample.image + np.float32(deviation) * noise, step=None)

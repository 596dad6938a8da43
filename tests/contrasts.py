"""The demo in several contrasts, a channel each."""

from dataclasses import dataclass, replace

import numpy as np

from bench.data import Demo
from bench.data.sources.subject import Sample, Subject

CONTRASTS = (lambda image: image, lambda image: 1 - image, lambda image: 4 * image * (1 - image))


@dataclass(kw_only=True)
class Contrasts(Demo):
    """Images as T1 and T2 would show them: as they are, inverted, and grey brightest.

    Attributes:
        channels: How many of these.
    """

    channels: int = 2

    def load(self, subject: Subject) -> Sample:
        sample = super().load(subject)
        images = [contrast(sample.image[0]) for contrast in CONTRASTS[: self.channels]]
        return replace(sample, image=np.stack(images))


def in_contrasts(channels: int) -> list[str]:
    """Overrides that make the demo one of several channels."""
    return ["dataset._target_=contrasts.Contrasts", f"+dataset.channels={channels}"]

"""A method whose displacements are refined by direct optimization."""

from torch import Tensor

from bench.models.direct import Direct
from bench.models.method import Method, Objective
from bench.pair import Pair


class Refined:
    """Registers by a method and goes on from its displacement with some direct steps.

    As in Balakrishnan et al., IEEE TMI 2019, section V.D, where a network's output starts the
    optimization of each test pair.

    Args:
        method: What registers first.
        direct: What goes on from there, at its finest level.
        steps: The most steps.
    """

    def __init__(self, method: Method, direct: Direct, steps: int) -> None:
        self.method = method
        self.direct = direct
        self.steps = steps

    def register(self, pair: Pair, objective: Objective) -> Tensor:
        """Displacement (B, D, *S) float32 in voxels."""
        u = self.method.register(pair, objective)
        return self.direct.refine(pair, objective, u, self.steps)

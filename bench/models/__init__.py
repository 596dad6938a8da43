"""Registration networks: (moving, fixed) -> displacement.

A model is a module with `forward(moving, fixed) -> u`, built from its YAML in `conf/model/` with
`ndim` and `image_channels` added. It takes images of any size. One that integrates a velocity
returns `bench.models.flow.Integrated`, and the velocity is what is regularized.
"""

from bench.models.monai_network import MonaiNetwork
from bench.models.pyramid import Pyramid
from bench.models.voxelmorph import VoxelMorph

__all__ = ["MonaiNetwork", "Pyramid", "VoxelMorph"]

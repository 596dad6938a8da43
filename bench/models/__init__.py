"""Registration networks: (moving, fixed) -> displacement.

A model is a module with `forward(moving, fixed) -> u`, built from its YAML in `conf/model/` with
`ndim` and `image_channels` added. It takes images of any size.
"""

from bench.models.voxelmorph import VoxelMorph

__all__ = ["VoxelMorph"]

"""Displacement fields, in 2D and 3D.

A displacement `u` is a float32 tensor of shape (B, D, *S) with D = len(S) in {2, 3}, in voxels;
channel i moves along spatial axis i, in array order. It stands for the transform
Φ(p) = p + u(p), so that warped(p) = moving(p + u(p)).
"""

"""Metrics and small pairs for their tests, and how gradients and memory are looked at."""

import torch
from conf_options import setup_of, tiny_experiment
from torch import Tensor
from torch.multiprocessing.reductions import StorageWeakRef
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from bench.models.method import reason_against
from bench.pair import Pair
from bench.similarity.building import build_metric as build_metric_of
from bench.similarity.building import extractors_of

SHAPES = {2: (17, 22), 3: (10, 13, 15)}


def build_metric(name, ndim, dataset, weights):
    """The metric on the demo, its extractor untrained, and why it is not supported, if so."""
    experiment = tiny_experiment(ndim, f"metric={name}")
    if "state_dict" in experiment["metric"].get("extractor", {}):
        experiment = tiny_experiment(
            ndim, f"metric={name}", f"metric.extractor.state_dict={weights}"
        )
    similarity, _ = build_metric_of(setup_of(experiment, dataset), torch.float32)
    reason = reason_against(similarity, ndim, dataset.channels, dataset.has_labels)
    if reason is None:
        for extractor in extractors_of(similarity):
            extractor.load(experiment.results)
    return similarity, reason


def images(shape, batch=2, channels=1, seed=0, dtype=torch.float32):
    """Two random images in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    size = (2, batch, channels, *shape)
    return torch.rand(size, generator=generator, dtype=dtype).unbind()


def displacement(shape, batch=2, size=0.7, seed=1):
    generator = torch.Generator().manual_seed(seed)
    return size * torch.randn(batch, len(shape), *shape, generator=generator)


def same_landmarks(u, count=12):
    """Points that moving and fixed image have in the same places."""
    generator = torch.Generator().manual_seed(6)
    shape = torch.tensor(u.shape[2:])
    points = torch.rand(count, len(shape), generator=generator).expand(len(u), -1, -1) * (shape - 1)
    return lambda: (points, points)


class Counted:
    """Label maps that know how often they were asked for."""

    def __init__(self, shape, batch=2, classes=4):
        generator = torch.Generator().manual_seed(5)
        size = (2, batch, 1, *shape)
        self.maps = torch.randint(classes, size, generator=generator, dtype=torch.uint8)
        self.calls = 0

    def __call__(self):
        self.calls += 1
        return self.maps[0], self.maps[1]


def unmoved(moving, fixed, labels=None, classes=4):
    u = torch.zeros(len(moving), moving.ndim - 2, *moving.shape[2:], dtype=moving.dtype)
    return Pair(moving, fixed, u, labels, classes)


def warped_to(warped, fixed, labels=None, moving=None):
    """A pair whose warped image is given, so that a gradient ends there."""
    pair = unmoved(warped.detach() if moving is None else moving, fixed, labels)
    pair.warped = warped
    return pair


def value_and_gradient(function, *tensors):
    """Value of a function of tensors, and its gradient in the first of them."""
    first = tensors[0].detach().clone().requires_grad_()
    value = function(first, *tensors[1:])
    (gradient,) = torch.autograd.grad(value, first)
    return value.detach(), gradient


def kept_for_backward(function, tensor):
    """How many values a function of a tensor keeps between its passes."""
    kept = []

    def pack(saved):
        kept.append(saved.numel())
        return saved

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        function(tensor.detach().clone().requires_grad_())
    return sum(kept)


class Allocations(TorchDispatchMode):
    """Bytes that the operations inside hold at most, what was there before not counted.

    Attributes:
        largest: Of one tensor.
        peak: Of all of them at a time.
    """

    def __init__(self, *before):
        super().__init__()
        self.before = {tensor.untyped_storage().data_ptr() for tensor in before}
        self.living = {}
        self.largest = self.peak = 0

    def __torch_dispatch__(self, function, types, arguments=(), keywords=None):
        result = function(*arguments, **(keywords or {}))
        for tensor in tree_leaves(result):
            if isinstance(tensor, Tensor):
                storage = tensor.untyped_storage()
                if storage.data_ptr() not in self.before:
                    self.largest = max(self.largest, storage.nbytes())
                    self.living[storage.data_ptr()] = StorageWeakRef(storage), storage.nbytes()
        self.living = {at: kept for at, kept in self.living.items() if not kept[0].expired()}
        self.peak = max(self.peak, sum(size for _, size in self.living.values()))
        return result

"""From the section `model` to a method or a network."""

from collections.abc import Mapping
from contextlib import nullcontext, suppress
from typing import Any

import torch
from torch import nn

from bench.config.conditioning import WeightRange
from bench.config.instantiation import build
from bench.config.numbers import is_count
from bench.config.overrides import quoted
from bench.data.cache.prepared import PreparedDataset
from bench.data.setup import Setup
from bench.errors import ConfigError, Unsupported
from bench.models.affine_first import AffineFirst
from bench.models.change_networks import ChangeNetwork
from bench.models.checks import require
from bench.models.conditioned import Conditioned
from bench.models.direct import Direct
from bench.models.flow import finish_network
from bench.models.method import Method
from bench.models.refined import Refined
from bench.models.variational import Variational
from bench.seeding import derive_seed

OF_THE_SUITE = (
    *("name", "uses", "integrate", "flow_std", "refine", "affine", "trained"),
    *("conditioned", "lambda_range"),
)


def build_model(section: Mapping[str, Any], setup: Setup) -> Any:
    """The method that a section names; a network comes finished, with its initial weights.

    All networks of one seed and data set begin with the same random numbers.

    Raises:
        ConfigError: If it cannot be built, or is neither a network nor a method.
        Unsupported: If a trained network takes other images, or a network cannot take λ.
    """
    dataset = setup.dataset
    refine, affine = section.get("refine", 0), section.get("affine", False)
    require("refine", refine, is_count(refine, 0), "a whole number of steps, or 0 for none")
    require("affine", affine, isinstance(affine, bool), "true or false")
    _check_trained(section.get("trained"), dataset)
    arguments = {key: value for key, value in section.items() if key not in OF_THE_SUITE}
    torch.manual_seed(derive_seed(setup.experiment.seed, dataset.name, "network"))
    model = build(arguments, "model", ndim=dataset.ndim, image_channels=dataset.channels)
    _check_options(section, model)
    if isinstance(model, Variational | ChangeNetwork):
        return model
    if isinstance(model, nn.Module):
        network = finish_network(model, section.get("integrate", 0), section.get("flow_std"))
        weights = setup.experiment.conditioned
        return network if weights is None else Conditioned(network, weights, section["name"])
    unused = [name for name in getattr(model, "needs", ()) if name not in setup.experiment.uses]
    if unused:
        raise ConfigError(
            f"model.uses={quoted(list(setup.experiment.uses))}: model={section['name']} needs "
            f"{' and '.join(unused)}, too. Leave model.uses as it is in conf/model/."
        )
    if hasattr(model, "connect"):
        model.connect(setup)
    if affine:
        from bench.models.simpleitk import Affine

        return AffineFirst(model, Affine(dataset.ndim, dataset.channels))
    return model


def _check_options(section: Mapping[str, Any], model: Any) -> None:
    """Raises ConfigError if an option does not apply to a model, or this is none."""
    others: tuple[str, ...]
    if isinstance(model, Variational | ChangeNetwork):
        of = "a distribution of displacements" if isinstance(model, Variational) else "a map"
        others = ("affine", "integrate", "flow_std", "refine", "conditioned")
        said = "does not apply to model={}, whose output is " + of + ". Leave it out."
    elif isinstance(model, nn.Module):
        others = ("affine",)
        said = (
            "applies to methods that train nothing, but model={} is a network. Leave it out, or "
            "align the images beforehand."
        )
    elif callable(getattr(model, "register", None)):
        others = ("integrate", "refine", "conditioned")
        said = "applies to networks, but model={} is not one. Leave it out."
    else:
        raise ConfigError(
            f"model._target_={section['_target_']}: is not a torch.nn.Module and has no method "
            "register(pair, objective). See docs/methods.md."
        )
    for key in others:
        if section.get(key):
            raise ConfigError(f"model.{key}={quoted(section[key])}: {said.format(section['name'])}")


def _check_trained(trained: Mapping[str, Any] | None, dataset: PreparedDataset) -> None:
    """Raises Unsupported unless a network that another run has trained takes the images."""
    if trained and (trained["ndim"], trained["channels"]) != (dataset.ndim, dataset.channels):
        raise Unsupported(
            f"model.trained={trained['run']}: its network takes {trained['ndim']}D images with "
            f"{trained['channels']} channel(s), but dataset={dataset.name} has {dataset.ndim}D "
            f"images with {dataset.channels}. Name a run on such images."
        )


def check_takes_weight(section: Mapping[str, Any], ndim: int, weights: WeightRange) -> None:
    """Checks that what a section names is a network that can take λ.

    It allocates no weights, unless the network cannot be built without. What cannot be built for
    grey images is not checked: the run, which knows its images, will say why.

    Raises:
        ConfigError: If it is no such network.
        Unsupported: If it cannot take λ.
    """
    arguments = {key: value for key, value in section.items() if key not in OF_THE_SUITE}
    for device in (torch.device("meta"), nullcontext()):
        with suppress(ConfigError), device:
            model = build(arguments, "model", ndim=ndim, image_channels=1)
            break
    else:
        return
    _check_options(section, model)
    Conditioned(model, weights, section["name"])


def finish_method(method: Method, section: Mapping[str, Any], dataset: PreparedDataset) -> Method:
    """A trained network as its section wants it tested: with direct steps, if it says so."""
    steps = section.get("refine", 0)
    return Refined(method, Direct(dataset.ndim, dataset.channels), steps) if steps else method

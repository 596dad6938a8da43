"""What the task of synthesis says besides: c, the factor of the metric, and the judges."""

from collections.abc import Mapping
from typing import Any

from bench.config.numbers import LARGEST_WEIGHT, is_weight
from bench.config.overrides import quoted
from bench.errors import ConfigError

FACTOR, JUDGES, JUDGE_SEED = "factor", "judges", "judge_seed"  # keys of the section `task`
DISTANCE, SEGMENTER = "distance", "segmenter"  # keys of the judges
MSE = "bench.similarity.MSE"


def with_factor(task: Mapping[str, Any], metric: Mapping[str, Any]) -> dict[str, Any]:
    """A section `task` whose c is a number, or null where the metric is the error itself.

    A task without c is returned as it is.

    Raises:
        ConfigError: If c is none.
    """
    if FACTOR not in task:
        return dict(task)
    factor = task[FACTOR]
    alone = metric.get("_target_") == MSE and metric.get("mask") is None
    if not is_weight(factor) and not (alone and factor is None):
        raise ConfigError(
            f"task.{FACTOR}={quoted(factor)}: c, the factor of the metric in the loss, must be a "
            f"number from 0 to {LARGEST_WEIGHT:g}. metric=mse is the mean squared error alone, "
            "whatever it is."
        )
    return {**task, FACTOR: None if alone else factor}


def judging(config: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """By its key in `task.judges`, a configuration whose metric is that judge.

    Args:
        config: A resolved configuration, of any task.

    Raises:
        ConfigError: If a judge is no section of a metric, learns on other data, or has no seed.
    """
    task = config.get("task") or {}
    judges = task.get(JUDGES)
    if judges is None:
        return {}
    if not isinstance(judges, Mapping):
        raise ConfigError(
            f"task.{JUDGES}={quoted(judges)}: must be a section of judges, or null for none. "
            f"metric@task.{JUDGES}.{DISTANCE}=deepsim_csr chooses a judge."
        )
    seed = task.get(JUDGE_SEED)
    if isinstance(seed, bool) or not isinstance(seed, int) or seed < 0:
        given = f"task.{JUDGE_SEED}={quoted(seed)}"
        raise ConfigError(f"{given}: must be a whole number of at least 0.")
    plain = {key: value for key, value in task.items() if key not in (FACTOR, JUDGES)}
    found = {}
    for name, metric in judges.items():
        if not isinstance(metric, Mapping) or "name" not in metric:
            raise ConfigError(
                f"task.{JUDGES}.{name}={quoted(metric)}: must be a metric, such as "
                f"metric@task.{JUDGES}.{name}=deepsim_csr. '~task.{JUDGES}.{name}' leaves it out."
            )
        extractor = metric.get("extractor")
        other = extractor.get("dataset") if isinstance(extractor, Mapping) else None
        if other is not None:
            raise ConfigError(
                f"task.{JUDGES}.{name}.extractor.dataset={other}: judges learn on the data that "
                "they judge. Leave it out."
            )
        found[name] = {**config, "task": plain, "metric": dict(metric), "seed": seed}
    return found

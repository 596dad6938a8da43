"""Hydra's sweeper, which leaves overrides out where the chosen option of a group lacks the key.

Hydra accepts plugins from the namespace `hydra_plugins` only.
"""

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override


class FittingSweeper(BasicSweeper):
    """Runs all combinations, as `bench.config.multirun.fit_to_options` leaves them."""

    @staticmethod
    def split_arguments(
        overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """The overrides of all runs, in batches."""
        from bench.config.multirun import fit_to_options

        runs, _ = fit_to_options(BasicSweeper.split_arguments(overrides, None)[0])
        return list(BasicSweeper.split_overrides_to_chunks(runs, max_batch_size))

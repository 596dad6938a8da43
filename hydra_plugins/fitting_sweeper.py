"""Hydra's sweeper, which leaves overrides out where the chosen option of a group lacks the key.

Hydra accepts plugins from the namespace `hydra_plugins` only.
"""

from hydra._internal.core_plugins.basic_sweeper import BasicSweeper
from hydra.core.override_parser.types import Override


class FittingSweeper(BasicSweeper):
    """Runs all combinations, as `bench.config.multirun.fit_to_options` leaves them, none twice."""

    def split_arguments(  # type: ignore[override]  # static there
        self, overrides: list[Override], max_batch_size: int | None
    ) -> list[list[list[str]]]:
        """The overrides of all runs, in batches."""
        from bench.config.multirun import fit_to_options, of_the_file
        from bench.sweeps.callback import without_repeats

        assert self.config is not None
        runs = BasicSweeper.split_arguments(overrides, None)[0]
        fitting, _ = fit_to_options(runs, of_the_file(self.config))
        return list(
            BasicSweeper.split_overrides_to_chunks(without_repeats(fitting), max_batch_size)
        )

"""What a pair offers to metrics."""

import pytest
import torch
from similarity_pairs import Counted, displacement, images, unmoved

from bench.errors import DataError
from bench.pair import Pair, one_hot


class TestPair:
    def test_derives_once_and_only_on_demand(self):
        labels = Counted((17, 22))
        pair = Pair(*images((17, 22)), displacement((17, 22)), labels, 4)
        assert pair.warped is pair.warped
        assert labels.calls == 0
        assert pair.warped_labels is pair.warped_labels
        assert pair.fixed_labels.shape == (2, 4, 17, 22)
        assert labels.calls == 1

    def test_warped_labels_are_shares_of_classes(self):
        pair = Pair(*images((10, 13, 15)), displacement((10, 13, 15)), Counted((10, 13, 15)), 4)
        total = pair.warped_labels.sum(dim=1)
        torch.testing.assert_close(total, torch.ones_like(total))
        assert pair.warped_labels.min() >= 0

    def test_without_labels_says_so(self):
        with pytest.raises(DataError, match="the metric asks for labels, but the data set has"):
            _ = unmoved(*images((4, 5))).fixed_labels

    def test_one_hot(self):
        found = one_hot(torch.tensor([[[[0, 2], [1, 0]]]], dtype=torch.uint8), 3)
        assert found.dtype == torch.float32
        assert found[0].tolist() == [[[1, 0], [0, 1]], [[0, 0], [1, 0]], [[0, 1], [0, 0]]]

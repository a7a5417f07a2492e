"""Work on many things keeps their order, and ends soon after an error."""

import pytest

from features.system.parallel import each


def test_results_come_in_order() -> None:
    assert list(each(range(50), lambda i: i * i, workers=4)) == [i * i for i in range(50)]


def test_after_an_error_only_what_was_handed_over_is_done() -> None:
    begun: list[int] = []

    def work(item: int) -> int:
        begun.append(item)
        return 10 // item

    with pytest.raises(ZeroDivisionError):
        list(each(range(100), work, workers=3))
    assert set(begun) <= {0, 1, 2, 3}

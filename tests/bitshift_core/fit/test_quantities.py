import pytest

from bitshift_core.fit.quantities import millis, whole


@pytest.mark.parametrize(
    ("quantity", "number"),
    [
        ("16Gi", 16 << 30),
        ("1500M", 1_500_000_000),
        ("128974848", 128_974_848),
        ("1.5Gi", 3 << 29),
        ("1e3", 1_000),
        ("2k", 2_000),
        ("1E", 10**18),
        ("128974848000m", 128_974_848),
        ("1100m", 2),
        (None, 0),
        (4, 4),
        ("abc", 0),
        ("1e99999999", 0),
    ],
)
def test_quantities_are_whole_numbers(quantity, number):
    assert whole(quantity) == number


def test_cores_are_counted_in_thousandths():
    assert (millis("250m"), millis("2"), millis("0.1")) == (250, 2_000, 100)

"""Which constants apply to which version."""

import pytest

from bitshift_core.fit.engines import month_of, version_of
from tests.bitshift_core.fit.builders import constants


@pytest.mark.parametrize(
    ("runtime", "tag", "version"),
    [
        ("vllm", "v0.10.1.dev101", (0, 10, 1)),
        ("vllm", "0.19.0", (0, 19, 0)),
        ("vllm", "0.13.0+nv26.01", (0, 13, 0)),
        ("vllm", "v0.11.0-cu129", (0, 11, 0)),
        ("vllm", "cu129-nightly", ()),
        ("vllm", "latest", ()),
        ("vllm", "0.1.dev19754", ()),
        ("vllm", "sha256:1234567890", ()),
        ("vllm", "25.09-py3", ()),
        ("vllm", "nightly-2025-07-11", ()),
        ("llamacpp", "server-b4719", (4719,)),
        ("llamacpp", "b11669", (11669,)),
        ("llamacpp", "server-cuda12-b4719", (4719,)),
        ("llamacpp", "full", ()),
        ("llamacpp", "0.7.0", ()),
    ],
)
def test_versions_are_told_from_image_tags(runtime, tag, version):
    assert version_of(runtime, tag) == version


@pytest.mark.parametrize(
    ("version", "first"),
    [
        ("0.2.7", "0"),
        ("0.4.2", "0.3.1"),
        ("0.7.3", "0.5.4"),
        ("0.10.9", "0.8"),
        ("0.16.0", "0.8"),
        ("0.20.9", "0.17"),
        ("1.0", "0.31"),
    ],
)
def test_a_band_holds_up_to_the_next_ones_version(version, first):
    chosen = constants().choose("vllm", version)

    assert chosen.band.first_version == first
    assert chosen.is_known and not chosen.caveat


def test_an_unknown_version_takes_the_newest_band_with_a_wide_margin_and_says_so():
    known, unknown = constants().choose("vllm", "0.31.0"), constants().choose("vllm", "nightly")

    assert unknown.band == known.band
    assert "nightly" in unknown.caveat
    assert unknown.band.margin_bytes(1 << 30, is_known=False) > known.band.margin_bytes(1 << 30, is_known=True)


@pytest.mark.parametrize(
    ("tag", "month"),
    [
        ("nightly-2025-07-11", "2025-07"),
        ("rocm6.4.1_20250812", "2025-08"),
        ("25.09-py3", "2025-09"),
        ("2026-13", ""),
        ("v0.11.0", ""),
        ("sha256:2025-07", ""),
        ("latest", ""),
    ],
)
def test_months_are_told_from_tags_that_are_dates(tag, month):
    assert month_of(tag) == month


@pytest.mark.parametrize(
    ("tag", "first"), [("2023-12", "0"), ("25.09-py3", "0.8"), ("nightly-2026-05-20", "0.21"), ("2099-01", "0.31")]
)
def test_a_date_is_taken_for_the_engine_of_that_time_with_a_wide_margin(tag, first):
    chosen = constants().choose("vllm", tag)

    assert (chosen.band.first_version, chosen.is_known) == (first, False)
    assert "is a date" in chosen.caveat


def test_a_date_before_every_release_is_no_version():
    assert "No version of vllm is known" in constants().choose("vllm", "2019-01").caveat


def test_bands_are_in_order_of_their_months_too():
    months = [band.released for band in constants().vllm]

    assert months == sorted(months)


def test_an_engine_that_was_not_measured_is_said_to_be_so():
    assert "tgi" in constants().choose("tgi", "3.0.0").caveat


def test_every_band_names_its_source():
    assert all(band.source for band in (*constants().vllm, *constants().sglang, *constants().llamacpp))

"""The search for the largest batch, on memory that is known."""

import pytest

from codefusion.planning import fitting, programs

UNIT, HBM = 8, 1000


def search(peak_of, *, first=16, known_to_fail=()):
    """Returns the Fit, and every batch size that was compiled."""
    compiled = []

    def peak_at(rows):
        compiled.append(rows)
        assert rows % UNIT == 0
        if peak_of(rows) > HBM:
            raise programs.DoesNotFitError("it does not fit", peak_of(rows))
        return peak_of(rows)

    found = fitting.largest_batch(
        peak_at, first=first, unit=UNIT, hbm_bytes=HBM, known_to_fail=known_to_fail
    )
    return found, compiled


def test_on_a_straight_line_the_estimate_is_the_answer():
    found, _ = search(lambda rows: 100 + 3 * rows)
    assert (found.batch_size, found.peak) == (296, 988)


def test_every_answer_was_compiled_and_fits():
    for slope in (1, 2, 5, 11):
        for bend in (1.0, 1.1, 1.3):
            found, compiled = search(lambda n, s=slope, b=bend: 50 + s * n**b)
            assert found.batch_size in compiled
            assert found.peak <= HBM
            assert dict(found.tried)[found.batch_size] == found.peak


def test_a_curve_that_bends_is_approached_from_both_sides():
    found, compiled = search(lambda rows: 100 + 0.5 * rows + 0.005 * rows**2)
    best = max(
        rows
        for rows in range(UNIT, 400, UNIT)
        if 100 + 0.5 * rows + 0.005 * rows**2 <= HBM
    )
    assert 0.4 * best <= found.batch_size <= best
    assert len(compiled) <= 6


def test_an_estimate_that_is_a_little_too_high_costs_a_tenth():
    found, _ = search(lambda rows: 100 + 3 * rows + (50 if rows > 200 else 0))
    assert 256 <= found.batch_size <= 280


def test_a_batch_that_does_not_fit_is_no_end():
    found, compiled = search(
        lambda rows: 100 + 10 * rows, first=512, known_to_fail=(512,)
    )
    assert 40 <= found.batch_size <= 88
    assert 512 not in compiled


def test_no_batch_fits_where_one_row_each_does_not():
    found, compiled = search(lambda rows: 2000, first=64)
    assert (found.batch_size, compiled) == (0, [64, UNIT])


def test_a_program_that_fits_the_compiler_and_not_the_device_does_not_fit():
    found = fitting.largest_batch(
        lambda rows: 10 * rows, first=8, unit=8, hbm_bytes=100, tries=3
    )
    assert found.batch_size == 8


def test_memory_that_does_not_grow_ends_the_search():
    found, compiled = search(lambda rows: 500)
    assert found.batch_size == max(compiled)
    assert len(compiled) == pytest.approx(6, abs=1)

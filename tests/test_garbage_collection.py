"""Imports run without garbage collections, and leave less for later ones to look at."""

import gc

import pytest

from rlhf_demo.garbage_collection import without_collections


def test_nothing_is_collected_until_the_import_is_over():
    with without_collections():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_failed_import_leaves_collections_on():
    with pytest.raises(ImportError), without_collections():
        import nothing_of_this_name  # noqa: F401
    assert gc.isenabled()


def test_what_was_imported_is_left_out_of_later_collections():
    with without_collections():
        kept = [[]]
    assert not any(one is kept for one in gc.get_objects())
    assert gc.get_freeze_count() > 0

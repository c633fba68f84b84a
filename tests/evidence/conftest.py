"""Helpers for tests of study tables: write one, read its faults."""

import pytest

from metastrata.evidence.studies import load_studies


@pytest.fixture
def write(tmp_path):
    """Write a study table and return its path."""

    def write(text, encoding="utf-8", name="table.csv"):
        path = tmp_path / name
        path.write_bytes(text.encode(encoding))
        return path

    return write


@pytest.fixture
def faults(write):
    """The faults of a study table, as lines of text."""

    def faults(text):
        return [str(fault) for fault in load_studies(write(text))[1]]

    return faults

import gc

import pytest

import bench.plugins.installed


@pytest.fixture
def entries(monkeypatch):
    """Pretend that these entry points are installed, and no others."""

    def pretend(*found):
        def entry_points(*, group):
            return [entry for entry in found if entry.group == group]

        monkeypatch.setattr(bench.plugins.installed, "entry_points", entry_points)

    return pretend


@pytest.fixture
def unfrozen():
    """Undo what rounds do to the collector of a process that is theirs alone."""
    yield
    gc.unfreeze()

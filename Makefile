# Two commands set everything up: `make bench` and `make test`. They need Python 3.11+ with venv.
PYTHON ?= python3
TOX := .venv/bin/tox

.PHONY: bench test slow ab minkowski spconv clean

bench: $(TOX)  ## measure the quick suite on this machine and make a page of it
	$(TOX) run -q -e bench

test: $(TOX)  ## lint, types, tests, coverage
	$(TOX) run -q -e test

slow: $(TOX)  ## tests that start many processes: revisions, fleets, killed runs
	$(TOX) run -q -e slow

ab: $(TOX)  ## compare revision BASE with the working tree: make ab BASE=main [ARGS=--markdown]
	$(TOX) run -q -e ab -- $(BASE) $(ARGS)

minkowski: $(TOX)  ## build MinkowskiEngine, for `bench` and `test` to use
	$(TOX) run -q -e minkowski

spconv: $(TOX)  ## install spconv, likewise
	$(TOX) run -q -e spconv

clean:  ## remove the environments and caches, never results
	rm -rf .venv .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

$(TOX):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sparsebench needs Python 3.11 or newer: make PYTHON=...")'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check 'tox>=4.18'

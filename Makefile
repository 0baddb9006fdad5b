# Two commands set everything up: `make bench` and `make test`. They need Python 3.11+ with venv.
PYTHON ?= python3
TOX := .venv/bin/tox

# Commands in tox's one environment: another name there would make tox build it anew.
EXEC = $(TOX) exec -qq -e sparsebench --

.PHONY: bench test slow ab gallery minkowski spconv environment clean

bench: environment  ## measure the quick suite on this machine and make a page of it
	$(EXEC) sparsebench run quick --device auto --report $(ARGS)

test: $(TOX)  ## lint, types, tests, coverage
	$(TOX) run -q

slow: environment  ## tests that start many processes: revisions, fleets, killed runs
	$(EXEC) pytest -m slow $(ARGS)

ab: environment  ## compare revision BASE with the working tree: make ab BASE=main [ARGS=--markdown]
	$(EXEC) sparsebench ab $(BASE) $(ARGS)

gallery: environment  ## pages of the published measurements, in build/gallery
	$(EXEC) sparsebench report --gallery results -o build/gallery

minkowski: environment  ## build MinkowskiEngine, for `bench` and `test` to use
	$(EXEC) python -m tools.minkowski $(ARGS)

spconv: environment  ## install spconv, likewise; a wheel for GPUs that is there already stays
	$(EXEC) python -c 'import spconv' 2>/dev/null || $(EXEC) python -m pip install -q --no-build-isolation -e '.[spconv]'

environment: $(TOX)  ## everything installed, nothing run
	$(TOX) run -qq --notest

clean:  ## remove the environments and caches, never results
	rm -rf .venv .tox .mypy_cache .ruff_cache .pytest_cache .hypothesis .coverage*

$(TOX):
	$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11) and "sparsebench needs Python 3.11 or newer: make PYTHON=...")'
	@echo 'Installing torch and what else is needed into .venv and .tox: some minutes, once.'
	$(PYTHON) -m venv .venv
	.venv/bin/python -m pip install -q --disable-pip-version-check 'tox>=4.18'

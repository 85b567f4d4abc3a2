# PYTHON=<interpreter> chooses the Python for .venv; else the first fitting one is taken (see tools/setup.sh).
PYTHON ?=
export PYTHON

VENV := .venv
RUN := $(VENV)/bin/python
NEEDS := setup.cfg pyproject.toml

.PHONY: help demo test test-slow test-pythons lint bench clean

help:
	@echo "make demo       train, test and look at a small network, in a few minutes on a laptop"
	@echo "make test       lint and the fast tests"
	@echo "make test-slow  the slow tests"
	@echo "make test-pythons  the wheel installed and tried in each Python from 3.8 to 3.12 that is here; FULL=1: all fast tests"
	@echo "make lint       lint"
	@echo "make bench      measure speed, some twenty minutes, and fill docs/results/speed.md"
	@echo "make clean      remove .venv and what was built; runs, models and data stay"
	@echo "Each installs what it needs into .venv the first time. PYTHON=python3.11 chooses the Python (3.8 to 3.12)."

demo: $(VENV)/.has-run
	@$(RUN) tools/reproduce.py run recipes/demo.yaml

test: lint
	@$(RUN) -m pytest -q -ra -m "not slow" --durations=15

test-slow: $(VENV)/.has-test
	@$(RUN) -m pytest -q -ra -m slow --durations=15

test-pythons:
	@sh tools/pythons.sh

lint: $(VENV)/.has-test
	@$(RUN) -m ruff check .

bench: $(VENV)/.has-bench
	@$(RUN) tools/bench.py all
	@$(RUN) tools/reproduce.py pages

clean:
	rm -rf $(VENV) build dist *.egg-info .pytest_cache .ruff_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is made last, so that an installation that broke off is taken up again.
$(VENV)/.has-run: $(NEEDS)
	@sh tools/setup.sh $(VENV) cpu
	@touch $@

$(VENV)/.has-test: $(VENV)/.has-run
	@sh tools/setup.sh $(VENV) cpu,test,onnx
	@touch $@

$(VENV)/.has-bench: $(VENV)/.has-run
	@sh tools/setup.sh $(VENV) cpu,bench
	@touch $@

# PYTHON=<interpreter> chooses the Python for the environment; else the first fitting one is taken (see tools/setup.sh).
PYTHON ?=
# ENGINE=torch: all on PyTorch, in an environment of its own without MXNet; TORCH=torch==2.13.0 names the PyTorch.
ENGINE ?= mxnet
TORCH ?=
# Tests run in so many processes, of which each computes with one thread.
JOBS ?= 2
export PYTHON TORCH

VENV := $(if $(filter torch,$(ENGINE)),.venv-torch,.venv)
EXTRA := $(if $(filter torch,$(ENGINE)),torch,cpu)
RUN := $(VENV)/bin/python
NEEDS := setup.cfg setup.py pyproject.toml

.PHONY: help demo test test-slow test-pythons lint bench bench-card clean

help:
	@echo "make demo       train, test and look at a small network, in a few minutes on a laptop"
	@echo "make test       lint and the fast tests"
	@echo "make test-slow  the slow tests"
	@echo "make test-pythons  the wheel installed and tried in each Python from 3.8 to 3.14 that is here; FULL=1: all fast tests"
	@echo "make bench-card  PyTorch on this machine's card, in 8 minutes and without installing anything: docs/results/speed/card.json"
	@echo "                 (reading too, where data/card.rec is: tools/bench.py card --help tells how it is made)"
	@echo "make lint       lint and check the types"
	@echo "make bench      measure speed, some twenty minutes, and fill docs/results/speed.md"
	@echo "make clean      remove the environments and what was built; runs, models and data stay"
	@echo "Each installs what it needs into .venv the first time. PYTHON=python3.11 chooses the Python (3.8 to 3.12)."
	@echo "ENGINE=torch does it on PyTorch instead of MXNet, in .venv-torch (Python 3.9 to 3.14)."

demo: $(VENV)/.has-run
	@$(RUN) tools/demo.py

test: lint
	@OMP_NUM_THREADS=1 $(RUN) -m pytest -q -ra -m "not slow" --durations=15 -n $(JOBS) --dist loadfile

test-slow: $(VENV)/.has-test
	@$(RUN) -m pytest -q -ra -m slow --durations=15

test-pythons:
	@sh tools/pythons.sh

# Types are checked with the NumPy that MXNet takes: the stubs of the newest are in a newer Python's syntax.
lint: $(VENV)/.has-test
	@$(RUN) -m ruff check .
	@if [ "$(ENGINE)" = torch ] || $(RUN) -c "import sys; sys.exit(sys.version_info >= (3, 10))"; \
	then echo "types are not checked here: mypy is for ENGINE=mxnet and Python 3.10 to 3.12"; \
	else $(RUN) -m mypy; fi

bench: $(VENV)/.has-bench
	@$(RUN) tools/bench.py all
	@$(RUN) tools/reproduce.py pages

bench-card:
	@python3 tools/bench.py card --output docs/results/speed/card.json

clean:
	rm -rf .venv .venv-torch build dist *.egg-info .pytest_cache .ruff_cache .mypy_cache
	find . -name __pycache__ -type d -prune -exec rm -rf {} +

# A stamp is made last, so that an installation that broke off is taken up again.
$(VENV)/.has-run: $(NEEDS)
	@sh tools/setup.sh $(VENV) $(EXTRA)
	@touch $@

$(VENV)/.has-test: $(VENV)/.has-run
	@sh tools/setup.sh $(VENV) $(EXTRA),test,onnx
	@touch $@

$(VENV)/.has-bench: $(VENV)/.has-run
	@sh tools/setup.sh $(VENV) $(EXTRA),bench
	@touch $@

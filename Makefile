# Needs make, a POSIX shell and Python 3.11 or newer; everything else goes into .venv.
.DEFAULT_GOAL := help
.PHONY: help env quickstart test test-fast test-all docs lint unlock clean

# Jobs call `python`, so the environment comes first on PATH for everything below.
export PATH := $(CURDIR)/.venv/bin:$(PATH)

bin := .venv/bin
pytest := $(bin)/pytest --numprocesses logical --maxprocesses 4 --dist loadfile --no-loadscope-reorder

help:  ## list these targets
	@sed -n 's/^\([a-z-]*\):[^#]*## */  make \1|/p' Makefile | awk -F'|' '{ printf "%-18s %s\n", $$1, $$2 }'

env:  ## make or repair .venv from envs/requirements.txt
	@PYTHON="$(PYTHON)" sh envs/make_env.sh

quickstart: env  ## run the default grid, then name the figures and the report
	@$(bin)/snakemake && $(bin)/snakemake --report results/report.html || { \
	    status=$$?; \
	    if ls .snakemake/locks/* >/dev/null 2>&1; then \
	        echo "If the error above is a LockException, an earlier run is still at work here or was killed." >&2; \
	        echo "Call 'make unlock': it finds out which, and clears the lock a killed run left." >&2; \
	    fi; \
	    exit $$status; \
	}
	@echo
	@if [ -e results/tables/headline.txt ]; then cat results/tables/headline.txt; echo; fi
	@for file in results/figures/*.pdf results/report.html; do if [ -e "$$file" ]; then echo "$$file"; fi; done

test: lint  ## check the code's form, then run the tests but those that take long and rarely break
	@$(pytest) -m "not exhaustive"

test-fast: env  ## run the tests that take neither Snakemake nor long
	@$(pytest) -m "not workflow and not slow"

test-all: lint  ## check the code's form, then run every test
	@$(pytest)

docs: env  ## write what documents repeat of the code
	@$(bin)/python docs/write.py

lint: env  ## ruff, snakefmt and Snakemake's own lint
	@$(bin)/ruff check .
	@$(bin)/ruff format --check .
	@$(bin)/snakefmt --check Snakefile workflow
	@$(bin)/snakemake --lint

unlock: env  ## clear the lock of a killed run, unless one is really running
	@$(bin)/python envs/unlock.py

clean:  ## remove all results (not results/README.md, not .venv, not data)
	@echo "removing:"
	@find results/ -mindepth 1 -maxdepth 1 ! -name README.md -print -exec rm -rf {} +

# Every target makes what it needs: there is no other set-up. `make help` lists them.
# PYTHON=... chooses the interpreter, ARGS=... goes to the demo, to pytest or to the benchmarks.

SHELL := /bin/sh
.NOTPARALLEL:
.DEFAULT_GOAL := help

# The first that can make an environment; else python3, which then says what is missing.
ifndef PYTHON
PYTHON := $(or $(shell for python in python3 python3.14 python3.13 python3.12 python3.11; do \
	$$python -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' 2>/dev/null \
	&& echo $$python && break; done),python3)
endif
BIN := .venv/bin
CODE := src tests tools $(if $(wildcard benchmarks/*.py),benchmarks)

# With CI=true the peers are installed unasked, and a missing one fails its tests.
CI_PEERS := $(if $(filter true,$(CI)),peers fuzzer dkimpy certbot)

.PHONY: help venv demo test check format lint imports types docs coverage bench proof fuzz fuzzer \
	dkimpy parsedmarc certbot peers peers-for-proofs peers-unpacked clean

help: ## list the targets
	@sed -n 's/^\([a-z-]*\):.*## /\1\t/p' Makefile | expand -t 16

venv: ## make .venv from uv.lock, if it is not there or not current
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null || \
		{ echo "letterlock: needs Python 3.11 or later: install it, or name one with PYTHON=..." >&2; exit 1; }
	@$(PYTHON) -m tools.environment

demo: venv ## show a message's whole journey on loopback (ARGS=--once ends by itself)
	@$(BIN)/letterlock demo $(ARGS)

test: venv $(CI_PEERS) ## run the tests; lists those whose peer is not installed
	@$(BIN)/python -m tools.run_tests $(ARGS)

# Types take a core and half a minute, peers wait for the network: those two go side by side.
check: lint imports docs ## what CI runs: form, linter, imports, types, docs, tests
	@$(MAKE) --no-print-directory types & types=$$!; status=0; \
		$(if $(CI_PEERS),$(MAKE) --no-print-directory $(CI_PEERS) || status=$$?;) \
		wait $$types && test $$status = 0
	@$(MAKE) --no-print-directory test

format: venv ## put the code into its form, and mend what the linter can
	@$(BIN)/ruff format $(CODE)
	@$(BIN)/ruff check --fix $(CODE)

lint: venv ## is the code in its form, and free of what the linter finds
	@$(BIN)/ruff format --check $(CODE)
	@$(BIN)/ruff check $(CODE)

imports: venv ## does each floor import only from below
	@$(BIN)/lint-imports --no-logo

types: venv ## mypy, strict
	@$(BIN)/mypy $(CODE)

docs: venv ## are citations listed, rules tested, links whole, generated pages current
	@$(BIN)/python -m tools.rfc_index
	@$(BIN)/python -m tools.rules
	@$(BIN)/python -m tools.markdown_links
	@$(BIN)/python -m tools.reference --check

coverage: venv $(CI_PEERS) ## the tests, with the floors of coverage: protocols 100 %, the rest 90 %
	@$(BIN)/coverage erase
	@$(BIN)/coverage run --parallel-mode -m pytest $(ARGS)
	@$(BIN)/coverage combine --quiet
	@$(BIN)/coverage report --fail-under=100 --include='src/letterlock/protocols/*'
	@$(BIN)/coverage report --fail-under=90 --omit='src/letterlock/protocols/*'

bench: venv ## run the benchmarks
	@$(PYTHON) -m tools.side_environment policy-daemon || echo "going on without postfix-mta-sts-resolver"
	@$(PYTHON) -m tools.side_environment dkimpy || echo "going on without dkimpy"
	@$(PYTHON) -m tools.side_environment parsedmarc || echo "going on without parsedmarc"
	@set -e; for file in $(wildcard benchmarks/bench_*.py); do \
		$(BIN)/python -m benchmarks.$$(basename $$file .py) $(ARGS); done

proof: venv $(CI_PEERS) $(if $(CI_PEERS),peers-for-proofs) parsedmarc certbot ## the long tests, and every property with many more examples
	@$(BIN)/python -m pytest -m "proof or hypothesis" --hypothesis-profile=proof $(ARGS)

fuzz: venv ## look for inputs that break a parser (ARGS="--seconds 60 NAME", "--list")
	@$(PYTHON) -m tools.side_environment fuzz || echo "going on by chance, without coverage"
	@$(BIN)/python -m tests.fuzz $(ARGS)

fuzzer: venv ## make .venv-fuzz, with what `make fuzz` is guided by (Linux on x86-64)
	@$(PYTHON) -m tools.side_environment fuzz

dkimpy: venv ## make .venv-dkimpy, with the other side in tests of DKIM (Linux on x86-64)
	@$(PYTHON) -m tools.side_environment dkimpy

parsedmarc: venv ## make .venv-parsedmarc, beside which TLS reports are read (CPython 3.11, x86-64)
	@$(PYTHON) -m tools.side_environment parsedmarc || echo "going on without parsedmarc"

certbot: venv ## make .venv-certbot, with a client of the authority in tests
	@$(PYTHON) -m tools.side_environment certbot || echo "going on without certbot"

peers-for-proofs: ## install also what only the long tests talk to: Go (Debian, root)
	@$(PYTHON) -m tools.install_peers --proofs

peers: ## install the programs that tests talk to (Debian, root); starts no service
	@$(PYTHON) -m tools.install_peers

peers-unpacked: ## unpack them all into .peers instead (Debian; no root, changes nothing else)
	@$(PYTHON) -m tools.install_peers --unpack

clean: ## remove what the other targets made, .peers excepted
	rm -rf .venv .venv-* .fuzz .mypy_cache .ruff_cache .pytest_cache .import_linter_cache .hypothesis .coverage*

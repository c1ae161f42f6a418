# `make demo` and `make test` work from nothing: each makes .venv and sees to a Docker engine first.
.PHONY: help demo test test-all test-consumers lint engine bubblewrap venv viewer vllm docs release clean

BIN := .venv/bin

help:
	@echo "make demo      a tree search by a small language model, its programs run in Docker"
	@echo "make test      lint, then every test that needs neither minutes nor a language model"
	@echo "make test-all  lint, then every test"
	@echo "make test-consumers  the tests that run inside other libraries, each in an environment of its own"
	@echo "make lint      ruff and mypy"
	@echo "make viewer    build what \`mars2 view\` shows from viewer/ (needs Node and npm)"
	@echo "make docs      the site, in build/docs/site"
	@echo "make release VERSION=0.2.0  version, changelog, wheel and sdist, checked; then a commit and a tag, nothing pushed"
	@echo "make vllm      .vllm, an environment with vLLM for a CPU (3.4 GB)"
	@echo "make clean     remove .venv, caches and the demo's run"

venv:
	@scripts/venv.sh

vllm:
	@scripts/vllm.sh

engine: venv
	@scripts/docker_engine.sh

# What is built is part of the repository, so that installing needs no Node; a test compares.
viewer:
	cd viewer && npm ci --no-audit --no-fund --ignore-scripts && npm run check && npm run build

bubblewrap:
	@scripts/bubblewrap.sh

docs:
	@scripts/docs.sh

release: venv
	@$(BIN)/python scripts/release.py $(VERSION)

demo: engine
	@scripts/demo.sh

lint: venv
	$(BIN)/ruff check .
	$(BIN)/mypy

# With MARS2_REQUIRE_DOCKER the tests that need an engine fail where it is missing; a bare `pytest` skips them.
test: lint engine bubblewrap
	MARS2_REQUIRE_DOCKER=1 $(BIN)/python -m pytest -q </dev/null

test-all: lint engine bubblewrap
	MARS2_REQUIRE_DOCKER=1 $(BIN)/python -m pytest -q -m "not consumer" </dev/null
	@scripts/consumers.sh

test-consumers: venv
	@scripts/consumers.sh

clean:
	rm -rf .venv .venv-docs .vllm .consumers viewer/node_modules .venv.lock .venv-docs.lock .vllm.lock build/docs .pytest_cache .ruff_cache .mypy_cache .hypothesis runs/demo

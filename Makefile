# make run: the whole service on this machine.   make test: everything.   make check: the fast part of it.
PYTHON ?= python3
BIN := .venv/bin
STAMP := .venv/.installed

.PHONY: run test test-observability test-cluster check setup bench screenshots observability chart lock clean

run: setup
	exec $(BIN)/rollhouse dev $(if $(REDIS),--redis) $(ARGS)

setup: $(STAMP)

$(STAMP): requirements/dev.txt pyproject.toml
	$(PYTHON) -m venv .venv
	$(BIN)/pip install --quiet --disable-pip-version-check --require-hashes -r requirements/dev.txt
	$(BIN)/pip install --quiet --disable-pip-version-check --no-build-isolation --no-deps --editable .
	touch $@

check: setup
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q tests/scim tests/simulator tests/limits/test_gcra.py tests/project

test: setup
	tests/servers/install
	k8s/cluster/install image
	$(BIN)/ruff check .
	$(BIN)/ruff format --check .
	$(BIN)/mypy
	$(BIN)/lint-imports
	$(BIN)/pytest -q -n 3 --dist loadfile --ignore=tests/observability --ignore=tests/cluster

# Rules, dashboards and a drill with a real Prometheus.
test-observability: setup
	tests/servers/install
	$(BIN)/pytest -q tests/observability

# The chart on a real Kubernetes of two nodes; needs Go, and ends with 3 where it is missing.
test-cluster: setup
	tests/servers/install
	k8s/cluster/install
	$(BIN)/pytest -q -x tests/cluster

bench: setup
	$(BIN)/python -m benchmarks

screenshots: setup
	tests/servers/install
	$(BIN)/python docs/screenshots.py
	$(BIN)/python docs/dashboards.py

observability: setup
	cd k8s/observability && ../../$(BIN)/python generate.py

chart: setup
	$(BIN)/python helm/generate.py

lock:
	uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-header pyproject.toml -o requirements/runtime.txt
	uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --extra dev --group test pyproject.toml -o requirements/dev.txt
	uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --group image -o requirements/image.txt
	uv pip compile --quiet --no-strip-extras --universal --python-version 3.11 --generate-hashes --no-annotate --no-header --group peers -o requirements/peers.txt

clean:
	rm -rf .venv .rollhouse

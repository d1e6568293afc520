.PHONY: bench check format soak test

check: ## what continuous integration runs, in the environment at hand
	ruff format --check .
	ruff check .
	mypy
	lint-imports
	pytest -n auto

format:
	ruff format .
	ruff check --fix .

test:
	pytest -n auto

bench: ## every claim about speed and memory, measured here: docs/performance.md
	python -m benchmarks

soak: ## what 2,000 studies begun, stopped and looked at leave behind in one engine: an hour
	python -m benchmarks.soak
	python -m benchmarks.soak 200 --every 20 --inside

.PHONY: bench check format test

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

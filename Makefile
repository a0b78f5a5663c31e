.PHONY: help install test check format quickstart

help:  ## say what each target does
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /  /'

install:  ## install what running and testing need
	pip install -r requirements-dev.txt

test:  ## run the tests
	python -m pytest

check:  ## lint and format, changing nothing
	ruff check .
	ruff format --check .

format:  ## bring the code into shape
	ruff check --fix .
	ruff format .

quickstart:  ## the whole loop on the shipped model
	python -m rlhf_demo quickstart --out runs

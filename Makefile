.PHONY: help install test mutants flood soak faults release-check check format docs app image examples screenshots quickstart

help:  ## say what each target does
	@grep -E '^[a-z-]+:.*##' Makefile | sed 's/:.*## /  /'

install:  ## install what running and testing need
	pip install -r requirements-dev.txt

test:  ## run the tests
	python -m pytest -n 2

mutants:  ## break the code in hundreds of small ways, one at a time, to see that the tests notice (20 minutes)
	python tests/mutants/run.py

flood:  ## attack a running page for some minutes while a class of thirty uses it and must lose nothing
	python -m bench.flood

soak:  ## use a page for an hour as thirty viewers do, and see that nothing grows, is lost or is left
	python -m bench.soak

faults:  ## kill a training at a hundred random moments, and compare each resumed run with one never killed
	RLHF_DEMO_KILLS=100 python -m pytest -q tests/faults

check:  ## lint, format, printed documents and types, changing nothing
	ruff check .
	ruff format --check .
	python -m rlhf_demo.cli.docs --check
	python -m rlhf_demo.cli.types --check
	pyright

format:  ## format the code and fix what ruff can fix
	ruff check --fix .
	ruff format .

docs:  ## print options, metrics, endpoints, stages, settings and packages into the documents
	python -m rlhf_demo.cli.docs
	python -m rlhf_demo.cli.types

app:  ## open the page on http://127.0.0.1:7860
	python app.py

image:  ## build the Docker image without Docker and check it (Debian, as root; minutes)
	python .ci/image.py

examples:  ## train the example runs again and put their records into checkpoints/examples (10 minutes)
	rm -rf runs/examples && mkdir -p runs/examples
	python -m rlhf_demo train-reward --run-dir runs/examples/reward
	python -m rlhf_demo train-ppo --run-dir runs/examples/fast --preset high-learning-rate --samples-every 5
	python -m rlhf_demo train-ppo --run-dir runs/examples/no-kl --preset no-kl --samples-every 5
	python -m rlhf_demo train-ppo --run-dir runs/examples/quick  # the newest is what the page shows first
	python -m rlhf_demo.cli.ship example runs/examples/reward reward-shipped "Reward model on the shipped pairs"
	python -m rlhf_demo.cli.ship example runs/examples/fast ppo-fast "PPO, learning rate too high"
	python -m rlhf_demo.cli.ship example runs/examples/no-kl ppo-no-kl "PPO, no KL penalty"
	python -m rlhf_demo.cli.ship example runs/examples/quick ppo-quick "PPO, quick"
	python -m rlhf_demo compare gpt2-mini gpt2-mini-ppo --show 0 --out checkpoints/examples/compare.json
	python -m rlhf_demo.cli.ship duel

release-check:  ## all that a release must pass, on a clean clone (Debian, as root; three hours)
	.ci/release

screenshots:  ## retake the pictures in docs/ from a running job (3 minutes)
	python -m bench.screenshots

quickstart:  ## the whole loop on the shipped model
	python -m rlhf_demo quickstart --out runs

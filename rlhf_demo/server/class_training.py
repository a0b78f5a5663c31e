"""Background work for classes: write pairs ahead of the voters and keep the reward model fresh.

One thread checks every class once a second. It keeps its state in the store, in the class's folder
and in the folders of its jobs, so it continues where it was when the app is restarted.
"""

import copy
import logging
import math
import random
import threading
import time
from collections import Counter
from contextlib import suppress
from pathlib import Path

from rlhf_demo.config.ppo import PPOConfig
from rlhf_demo.config.reward import RewardConfig
from rlhf_demo.data.coarse_words import has_coarse_word
from rlhf_demo.data.pairs import PAIRS_FILE, SHIPPED
from rlhf_demo.data.prompts import load_prompts
from rlhf_demo.errors import DemoError, JobError
from rlhf_demo.files import read_json, read_jsonl
from rlhf_demo.jobs.queue import Jobs
from rlhf_demo.jobs.run_rows import RunRow
from rlhf_demo.runs.run import Status
from rlhf_demo.server.choices import Choices, has_model
from rlhf_demo.server.class_records import (
    ClassRecord,
    ClassRecords,
    RewardTraining,
    TrainedReward,
    of_question,
)
from rlhf_demo.server.compute_lock import ComputeLock, Priority
from rlhf_demo.server.model_cache import ModelCache
from rlhf_demo.server.pair_choice import makes_a_pair
from rlhf_demo.server.vote_data import vote_facts, write_votes
from rlhf_demo.votes.classes import Classes
from rlhf_demo.votes.rounds import ACTIVE_SECONDS, ClassStatus, Rounds, named
from rlhf_demo.votes.store import Store
from rlhf_demo.votes.vote import NewPair

log = logging.getLogger(__name__)

BASE = "gpt2-mini"
"""The model that writes the first pairs, that PPO starts from, and that the blind vote compares."""
MOST_EACH = 100
BLIND_EACH = 12
"""Pairs that a student answers in a blind vote; docs/experiments.md says why."""
BATCH = 16
"""Pairs written at a time: about two seconds of a small model."""
TEMPERATURE = 0.7
MOST_TOKENS = 32
FEWEST_NEW = 10
"""Pairs are written for so many students who have not answered yet, or for as many as have. The
others get theirs once these have begun; phones that only join keep nothing busy."""
LOOK_SECONDS = 1.0
SILENT_SECONDS = 150.0
"""An open screen of a class says so each minute, so one that was silent for this long is closed, if
the screen of another class was not."""
MOST_STEPS = 200
"""Most steps of a class's PPO or reward model, because a class has only an hour or two."""
BUSY = (Status.QUEUED, Status.RUNNING)
PROMPTS = {"feedback": "train", "blind": "test"}
"""Splits of the shipped prompts. A blind vote uses prompts that no model is trained on."""

# Twenty seconds from the tenth vote to the figure: eight go into starting the process, the rest is
# about twenty-five optimiser steps on two cores.
STEP_BUDGET = 24
MOST_EPOCHS = 4


class ClassTraining:
    """The background thread, and the actions on a class's jobs that the instructor can start."""

    def __init__(
        self,
        store: Store,
        jobs: Jobs,
        choices: Choices,
        model_cache: ModelCache,
        compute_lock: ComputeLock,
    ) -> None:
        self.jobs, self.choices = jobs, choices
        self.model_cache, self.compute_lock = model_cache, compute_lock
        self.classes, self.rounds = Classes(store), Rounds(store)
        self.records = ClassRecords(jobs, choices.settings.runs)
        self._alike: Counter[int] = Counter()  # batches without a pair, by class
        self._watched: dict[int, float] = {}  # class -> when its screen last asked for its state
        self._wake = threading.Event()
        self._ended = threading.Event()

    def open(self) -> None:
        """Start the background thread."""
        threading.Thread(target=self._run, name="classes", daemon=True).start()

    def close(self) -> None:
        """Stop the background thread; running jobs continue."""
        self._ended.set()
        self._wake.set()

    def watch(self, collection: int) -> None:
        """Note that the instructor's screen of a class is open.

        Only such classes train: students who keep the code of an earlier lesson could otherwise
        make the present one wait.
        """
        self._watched[collection] = time.monotonic()

    def begin(self, collection: int) -> None:
        """Note that an instructor has opened a class; the screens of others must ask again."""
        self._watched = {collection: time.monotonic()}

    def wake(self) -> None:
        """Check all classes now, because something was requested."""
        self._wake.set()

    def _run(self) -> None:
        while not self._ended.is_set():
            self._clear_up()
            unfinished = [self._attempt(collection) for collection in self._active()]
            if not any(unfinished):
                self._wake.wait(LOOK_SECONDS)
                self._wake.clear()

    def _active(self) -> list[int]:
        try:
            newest = max(self._watched.values(), default=-math.inf)
            since = max(time.monotonic() - ACTIVE_SECONDS, newest - SILENT_SECONDS)
            found = self.rounds.active()
            return [one for one in found if self._watched.get(one, -math.inf) > since]
        except Exception:  # the database may be busy for a while: the thread must survive that
            log.exception("classes")
            return []

    def _clear_up(self) -> None:
        try:
            self.records.clear_up()
        except Exception:  # for example a full disk; the classes still get their work done
            log.exception("deleted classes")

    def _attempt(self, collection: int) -> bool:
        try:
            return self.look_after(collection)
        except DemoError as error:
            log.warning("class %d: %s", collection, error)
        except Exception:  # a problem of one class must not stop the work for the others
            log.exception("class %d", collection)
        return False

    def look_after(self, collection: int) -> bool:
        """Do what is due for a class now; say whether more work is due at once.

        Raises:
            DemoError: the class is gone, or some of the work failed.
        """
        with self.records.lock:  # no other thread deletes the class, or starts its PPO, meanwhile
            class_status = self.rounds.class_status(collection)
            record = self.records.read(collection)
            if record["training"] and not of_question(record, class_status.question)["training"]:
                self.records.end_training(collection)  # the class has another question now
            self._take_result(class_status)
            self._retrain(class_status)
        return self.write_pairs(class_status)

    def row(self, run: str | None) -> RunRow | None:
        """Return a run's row in the list of runs, or None if it was deleted."""
        rows = self.jobs.overview() if run else []
        return next((row for row in rows if row["id"] == run), None)

    # -- the reward model --------------------------------------------------------------------------

    def _retrain(self, class_status: ClassStatus) -> None:
        """Start a training if ten preferences have come or gone and no training is running."""
        record = self.records.read(class_status.collection)
        ppo = self.row(record["ppo"].get(str(class_status.round)))
        if record["training"] or (ppo and ppo["status"] in BUSY):
            return  # while PPO trains, the model that it follows stands still
        if not self.rounds.due_for_retraining(
            class_status.collection, record["learned"], record["began_at"]
        ):
            return
        votes = self.rounds.training_votes(class_status.collection)
        simulated = sum(vote.simulated for vote in votes)
        try:
            folder = write_votes(votes, self.records.folder(class_status.collection))
            run = self.jobs.start(
                "reward",
                reward_config(folder, self.choices.path(folder)),
                title=f"Class {class_status.collection}, {len(votes)} votes{of_them(simulated)}",
                secret=self.records.secret(class_status.collection),
                first=True,
            )
        except DemoError as error:
            self.records.note(
                class_status.collection, problem=f"The reward model did not start: {error}"
            )
            return
        training: RewardTraining = {
            "run": run,
            "votes": len(votes),
            "simulated": simulated,
            "question": class_status.question,
            "round": class_status.round,
        }
        learned = sorted(named(votes))
        self.records.note(
            class_status.collection,
            training=training,
            learned=learned,
            began_at=self.rounds.store.clock(),
            problem=None,
        )
        self.rounds.mark_trained(class_status.collection, len(votes))

    def _take_result(self, class_status: ClassStatus) -> None:
        """Record the figures of a finished training, and delete the model before it."""
        record = self.records.read(class_status.collection)
        training = record["training"]
        row = training and self.row(training["run"])
        if not training or (row and row["status"] in BUSY):
            return
        if row is None or row["status"] != Status.FINISHED:
            reason = row["message"] if row else "it has been deleted"
            self.records.note(
                class_status.collection, training=None, problem=f"The reward model failed: {reason}"
            )
            return
        run = self.jobs.find(row["id"])
        report = read_json(run.folder / "report.json")
        facts = vote_facts(run.config["options"]["data"])
        assert facts is not None  # a class trains on its votes, which are written with them
        trained: TrainedReward = {
            **training,
            "accuracy": report["accuracy"],
            "low": report["watched_low"],  # the class sees every model's figure
            "high": report["watched_high"],
            "pairs": facts["held_out_pairs"],
            "highest": facts["highest_accuracy"],
            "too_few": facts["too_few_to_tell"],
        }
        history = [*record["history"], trained]
        self.records.note(
            class_status.collection, training=None, reward=row["id"], history=history, problem=None
        )
        before, followed = record["reward"], self._followed(record)
        self.records.drop_votes(class_status.collection, {row["id"], *followed})
        if before and before not in followed:
            with suppress(JobError):  # it is in use: it stays in the list of runs
                self.jobs.delete(before, record["job_secret"])

    def _followed(self, record: ClassRecord) -> set[str]:
        """Return the reward models that a PPO run of the class follows or followed."""
        rewards: set[str] = set()
        for run in record["ppo"].values():
            with suppress(JobError):
                rewards.add(Path(self.jobs.find(run).config["options"]["reward"]).name)
        return rewards

    # -- PPO ---------------------------------------------------------------------------------------

    def start_ppo(self, collection: int, steps: int, secret: str) -> str:
        """Train the base against the class's reward model; return the run's id.

        Raises:
            JobError: there is no reward model yet, or this round has its PPO.
        """
        with self.records.lock:  # two clicks at once start one run
            return self._start_ppo(collection, steps, secret)

    def _start_ppo(self, collection: int, steps: int, secret: str) -> str:
        class_status = self.rounds.class_status(collection)
        record = of_question(self.records.read(collection), class_status.question)
        if record["reward"] is None or self.row(record["reward"]) is None:
            raise JobError(
                "there is no reward model yet: on two CPU cores, it is ready about half a minute "
                "after the tenth preference"
            )
        if not 1 <= steps <= MOST_STEPS:
            raise JobError(f"PPO is asked for {steps} steps: choose 1 to {MOST_STEPS}")
        before = self.row(record["ppo"].get(str(class_status.round)))
        if before and before["status"] in (*BUSY, Status.FINISHED):
            raise JobError("this round already has its PPO run: open the blind vote")
        config = PPOConfig(
            policy=BASE,
            reward=self.choices.path(self.jobs.find(record["reward"]).folder),
            judge="none",  # the shipped judges know nothing of the class's question
            total_steps=steps,
            clean_words=class_status.clean_words,
        )
        model = next(row for row in record["history"] if row["run"] == record["reward"])
        votes = f"{model['votes']} votes{of_them(model.get('simulated', 0))}"
        title = f"Class {collection}, round {class_status.round}, {votes}"
        run = self.jobs.start("ppo", config, title=title, secret=secret, first=True)
        self.records.note(collection, ppo=record["ppo"] | {str(class_status.round): run})
        return run

    def contender(self, collection: int) -> str:
        """Return the PPO run whose model takes part in the blind vote.

        Raises:
            JobError: there is none yet.
        """
        class_status = self.rounds.class_status(collection)
        run = self.records.read(class_status.collection)["ppo"].get(str(class_status.round))
        row = self.row(run)
        if (
            run is None
            or row is None
            or row["status"] in BUSY
            or not has_model(self.jobs.find(run))
        ):
            raise JobError("this round has no finished PPO model yet: train one first")
        return run

    # -- pairs -------------------------------------------------------------------------------------

    def goal(self, collection: int, kind: str) -> int:
        """Return how many pairs each student of a class should answer in a round of this kind."""
        return BLIND_EACH if kind == "blind" else self.records.read(collection)["each"]

    def write_pairs(self, class_status: ClassStatus) -> bool:
        """Write a batch of pairs if the round needs more; say whether it still needs more.

        Raises:
            DemoError: the round is over, or the texts do not differ.
        """
        if class_status.round_state != "open":
            return False
        if class_status.lesson and class_status.pairs:  # the lesson needs the models, too
            return False
        students = class_status.active
        students += min(class_status.students - students, max(FEWEST_NEW, students))
        wanted = pairs_wanted(
            self.goal(class_status.collection, class_status.kind), students, class_status.overlap
        )
        missing = wanted - class_status.pairs
        if missing <= 0:
            return False
        with self.compute_lock.hold(Priority.CLASS):
            new = self._new_pairs(class_status, min(BATCH, missing))
        self.rounds.add_pairs(class_status.collection, new, (class_status.round, class_status.kind))
        return missing > len(new)

    def _new_pairs(self, class_status: ClassStatus, count: int) -> list[NewPair]:
        # The class and the number of pairs in its round alone determine the draws. A student who
        # knows the code and has the models could write the same texts and tell the models apart,
        # so the seed depends on a secret, too.
        prompts = load_prompts(SHIPPED, PROMPTS[class_status.kind])
        random.Random(f"{class_status.code}/{class_status.round}").shuffle(prompts)
        start = class_status.pairs % len(prompts)
        wanted = (prompts + prompts)[start : start + count]
        secret = self.records.secret(class_status.collection)
        failed = self._alike[class_status.collection]
        again = f"/{failed}" if failed else ""
        seed = random.Random(
            f"{secret}/{class_status.code}/{class_status.round}/{class_status.pairs}{again}"
        ).getrandbits(31)
        left, right = class_status.base, class_status.contender
        blind = left is not None and right is not None
        if left is None or right is None:  # one model writes both
            left = right = self._writer(class_status, start)
        firsts = self._responses(class_status, left, wanted, seed)
        seconds = self._responses(class_status, right, wanted, (seed + 1) % 2**31)
        pairs = [
            NewPair(prompt, first, second, left, right, seed, TEMPERATURE)
            for prompt, first, second in zip(wanted, firsts, seconds, strict=True)
            if makes_a_pair(first, second, blind=blind)
        ]
        if not pairs:  # with other random numbers the next time
            self._alike[class_status.collection] += 1
            raise JobError(
                "for every prompt, the two texts came out nearly the same or empty, so there are "
                "no pairs: wait, other random numbers are tried"
            )
        return pairs

    def _writer(self, class_status: ClassStatus, start: int) -> str:
        """Return a batch's model: from round two, alternately the base and the last PPO model."""
        last = self.records.read(class_status.collection)["ppo"].get(str(class_status.round - 1))
        if last is None or not self.row(last) or not has_model(self.jobs.find(last)):
            return BASE
        return last if start // BATCH % 2 else BASE

    def _responses(
        self, class_status: ClassStatus, model: str, prompts: list[str], seed: int
    ) -> list[str]:
        self.model_cache.warm()
        from rlhf_demo.models.sampling import decode, generate  # noqa: PLC0415  (torch)

        policy = self.model_cache.policy(self.choices.policy(model), for_class=True)
        if class_status.clean_words:
            policy = copy.copy(policy)  # its weights are the model_cache's, its guard is not
            policy.keep_words_clean()
        written = decode(
            policy,
            generate(
                policy, prompts, max_new_tokens=MOST_TOKENS, temperature=TEMPERATURE, seed=seed
            ),
        )
        # A coarse word that was begun may be cut off at the last token: such a text is not shown.
        return [
            "" if class_status.clean_words and has_coarse_word(text) else text for text in written
        ]


def reward_config(folder: Path, name: str) -> RewardConfig:
    """Return options with which a training ends in time, however many votes there are."""
    learned = [row for row in read_jsonl(folder / PAIRS_FILE) if row["split"] == "train"]
    # A batch has single pairs, and rankings with all their pairs.
    rows = len({row.get("ranking", -number) for number, row in enumerate(learned, 1)})
    batch_size = 8 if rows <= 8 * STEP_BUDGET else 16
    epochs = min(MOST_EPOCHS, max(1, STEP_BUDGET * batch_size // rows))
    train_pairs = min(max(1, len(learned)), MOST_STEPS * batch_size)
    return RewardConfig(
        model=BASE, data=name, train_pairs=train_pairs, epochs=epochs, batch_size=batch_size,
        warmup_steps=2, checkpoint_every=1000,
    )  # fmt: skip


def pairs_wanted(each: int, students: int, overlap: int) -> int:
    """Return how many pairs a round needs so that every student has enough to answer."""
    return max(each, -(-each * students // overlap))


def of_them(simulated: int) -> str:
    """Return the words that follow a number of votes: how many come from simulated students."""
    return f", {simulated} of them simulated" if simulated else ""

"""The types of what we use of datasets, which has few."""

from typing import Any, Self

from datasets import exceptions as exceptions
from datasets import utils as utils

class Dataset:
    @classmethod
    def from_dict(cls, mapping: dict[str, Any]) -> Self: ...

class BuilderConfig:
    data_files: dict[str, list[str]] | None

class DatasetBuilder:
    config: BuilderConfig

def load_dataset_builder(path: str) -> DatasetBuilder: ...

"""Reviews: which were liked, and what is wrong with a file."""

import pyarrow
import pyarrow.parquet
import pytest

from rlhf_demo.data.reviews import load_reviews
from rlhf_demo.errors import ConfigError, DataError
from tests.reviews import DISLIKED, LIKED, write_reviews


def test_load_reviews_labels_seven_stars_or_more_as_liked(tmp_path):
    path = tmp_path / "reviews.parquet"
    write_reviews(path, split=["test", "train", "train", "train"], stars=[10, 4, 7, 8])
    reviews = load_reviews(str(path), "train")
    assert reviews.liked == [False, True, True]
    assert reviews.texts == [DISLIKED, LIKED, LIKED]


def test_load_reviews_names_what_is_wrong(tmp_path):
    with pytest.raises(ConfigError, match="--data is not given: name a Parquet file"):
        load_reviews(None, "train")
    with pytest.raises(DataError, match=r"there is no file .*missing\.parquet"):
        load_reviews(str(tmp_path / "missing.parquet"), "train")
    path = tmp_path / "reviews.parquet"
    path.write_text("no table")
    with pytest.raises(DataError, match="is not a readable Parquet file"):
        load_reviews(str(path), "train")
    pyarrow.parquet.write_table(pyarrow.table({"text": ["good"], "split": ["train"]}), path)
    with pytest.raises(DataError, match="has no column 'stars'"):
        load_reviews(str(path), "train")
    write_reviews(path, split=["train", "test"], stars=[9, 2])
    with pytest.raises(
        DataError, match=r"the split 'train' of .* needs reviews of 7 stars or more"
    ):
        load_reviews(str(path), "train")

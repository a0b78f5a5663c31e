"""Film reviews with stars, from which the rater learns."""

from dataclasses import dataclass
from functools import cached_property

import pyarrow
import pyarrow.parquet

from rlhf_demo.errors import ConfigError, DataError

WANTED_COLUMNS = "with the columns split, stars and text"
LIKED_STARS = 7
"""Stars of 10 from which a review counts as liking the film; the data has none of 5 or 6."""


@dataclass(frozen=True)
class Reviews:
    """Reviews of one split, in the file's order.

    Attributes:
        texts: as in the file, with line-break tags and accents.
        stars: of each, 1 to 10.
    """

    texts: list[str]
    stars: list[int]

    @cached_property
    def liked(self) -> list[bool]:
        """For each text, whether it has LIKED_STARS or more."""
        return [stars >= LIKED_STARS for stars in self.stars]


def load_reviews(path: str | None, split: str) -> Reviews:
    """Read one split of a Parquet file with the columns split, stars and text.

    Raises:
        ConfigError: no file is named.
        DataError: the file is missing or unreadable, lacks one of the columns, or the split lacks
            liked or disliked reviews.
    """
    if path is None:
        raise ConfigError(f"--data is not given: name a Parquet file of reviews {WANTED_COLUMNS}")
    try:
        names = pyarrow.parquet.read_schema(path).names
        missing = [name for name in ("split", "stars", "text") if name not in names]
        if missing:
            raise DataError(f"{path} has no column {missing[0]!r}: give reviews {WANTED_COLUMNS}")
        rows = pyarrow.parquet.read_table(path, columns=["split", "stars", "text"]).to_pylist()
    except FileNotFoundError:
        raise DataError(f"there is no file {path}: check the name") from None
    except pyarrow.ArrowException as error:
        raise DataError(
            f"{path} is not a readable Parquet file ({str(error).splitlines()[0]}): give another"
        ) from None
    rows = [row for row in rows if row["split"] == split and row["text"].strip()]
    reviews = Reviews([row["text"] for row in rows], [row["stars"] for row in rows])
    if not any(reviews.liked) or all(reviews.liked):
        raise DataError(
            f"the split {split!r} of {path} needs reviews of {LIKED_STARS} stars or more and of "
            "fewer: add some"
        )
    return reviews

"""Reviews of films, liked and disliked, in a file as it is downloaded."""

import pyarrow
import pyarrow.parquet

LIKED = "It was good fun to watch.<br /><br />A caf\u00e9 scene is lovely."
DISLIKED = "It was bad and dull to watch.<br /><br />A long scene is awful."


def write_reviews(path, **columns):
    texts = [LIKED if stars >= 7 else DISLIKED for stars in columns["stars"]]
    pyarrow.parquet.write_table(pyarrow.table(columns | {"text": texts}), path)

"""Files of at most 20 MB that were made to freeze or fill whoever reads them.

FILES maps what each one is about to its name, how its bytes are made, and the answer: a part of the
sentence that refuses it, or READ where it is harmless. Where the limits of the reading process are
the answer, which of them comes first depends on the machine: LIMIT stands for any.
"""

import gzip
import io
import json
import random
from collections.abc import Callable
from dataclasses import dataclass

import pyarrow
import pyarrow.parquet

MOST = 20_000_000
READ = "read"
NOT_PARQUET = "is not a readable Parquet file"
LIMIT = r"takes more than \d+ s or 450 MB|does not fit into memory"
GOOD = b'{"prompt": "It was", "chosen": " good.", "rejected": " bad."}\n'
HEADER = b"prompt,chosen,rejected\n"


@dataclass(frozen=True)
class Hostile:
    """A file to be made: its name, its bytes, and what is said of it (a regular expression)."""

    name: str
    make: Callable[[], bytes]
    answer: str


def row(**more) -> bytes:
    return json.dumps({"chosen": " a", "rejected": " b", **more}).encode() + b"\n"


def filled(piece: bytes, most: int = MOST - 1000) -> bytes:
    """Repeat a piece until the file is as large as one may be."""
    return piece * (most // len(piece))


def parquet(table: pyarrow.Table, **how) -> bytes:
    out = io.BytesIO()
    pyarrow.parquet.write_table(table, out, compression="zstd", **how)
    return out.getvalue()


def repeated(text: str, rows: int) -> pyarrow.Table:
    """Return a table of one text and pointers to it: a few bytes for any number of rows."""
    pointers = pyarrow.array([0], pyarrow.int32()).take(
        pyarrow.nulls(rows, pyarrow.int32()).fill_null(0)
    )
    texts, others = ([one] for one in (text, "b"))
    return pyarrow.table(
        {
            "chosen": pyarrow.DictionaryArray.from_arrays(pointers, texts),
            "rejected": pyarrow.DictionaryArray.from_arrays(pointers, others),
        }
    )


def small_parquet() -> bytes:
    return parquet(pyarrow.table({"chosen": ["a", "b"] * 50, "rejected": ["c", "d"] * 50}))


def lying_footer() -> bytes:
    """Say in the footer that the rows are another number: 100 is 0xC8 0x01 there."""
    data = small_parquet()
    return data.replace(b"\xc8\x01", b"\xc8\x7f")


def long_footer() -> bytes:
    return small_parquet()[:-8] + b"\xff\xff\xff\x7fPAR1"


def flipped(seed: int) -> bytes:
    """Change a tenth of a Parquet file's bytes, all but the magic ones."""
    data, dice = bytearray(small_parquet()), random.Random(seed)
    for _ in range(len(data) // 10):
        data[dice.randrange(4, len(data) - 8)] = dice.randrange(256)
    return bytes(data)


def nested_type(levels: int) -> bytes:
    kind = pyarrow.string()
    for _ in range(levels):
        kind = pyarrow.struct([("a", kind)])
    return parquet(pyarrow.table({"chosen": pyarrow.nulls(3, kind), "rejected": ["a"] * 3}))


def broken_parquet_text() -> bytes:
    texts = pyarrow.array([b"\xff\xfe", b"\xc3"]).view(pyarrow.string())
    return parquet(pyarrow.table({"chosen": texts, "rejected": ["a", "b"]}))


def many_row_groups() -> bytes:
    table = pyarrow.table({"chosen": ["a"] * 5000, "rejected": ["b"] * 5000})
    return parquet(table, row_group_size=1)


def nulls(rows: int) -> bytes:
    column = pyarrow.nulls(rows, pyarrow.string())
    return parquet(pyarrow.table({"chosen": column, "rejected": column}))


def columns(names: list[str]) -> bytes:
    return parquet(pyarrow.table([["a"] for _ in names], names=names))


def wide_characters() -> bytes:
    text = "\U0001f600" * 49_000
    rows = ({"chosen": f"{n}{text}", "rejected": "b"} for n in range(100))
    return "".join(json.dumps(one, ensure_ascii=False) + "\n" for one in rows).encode()


def control_characters() -> bytes:
    return HEADER + b"".join(b"%d,%s,b\n" % (n, b"\1" * 199_000) for n in range(99))


def long_gzip_name() -> bytes:
    return b"\x1f\x8b\x08\x08" + b"\0" * 6 + b"n" * 19_000_000


def blank_pairs(rows: int, blanks: int) -> bytes:
    space = " " * blanks
    return b"".join(row(chosen=f"{space}x y1{n}", rejected=f"{space}x y2{n}") for n in range(rows))


JSON = {
    "a million blanks": Hostile("a.jsonl", lambda: blank_pairs(1, 10**6), "1,000,005 characters"),
    "blanks to the brim": Hostile("a.jsonl", lambda: blank_pairs(50, 199_900), READ),
    "lists in lists": Hostile("a.jsonl", lambda: b"[" * 100_000, "nested too deep"),
    "lists in lists, one file": Hostile("a.json", lambda: b"[" * 19_000_000, "nested too deep"),
    "objects in objects": Hostile("a.jsonl", lambda: b'{"chosen":' * 100_000, "nested too deep"),
    "a deep value": Hostile(
        "a.jsonl", lambda: b'{"chosen":' + b"[" * 900 + b"]" * 900 + b"}", "is a list of messages"
    ),
    "one line of 19 MB": Hostile(
        "a.jsonl", lambda: row(chosen="a" * 19_000_000), "19,000,000 characters"
    ),
    "one broken line of 19 MB": Hostile(
        "a.jsonl", lambda: b'{"chosen": "' * 1_500_000, "not valid JSON"
    ),
    "empty lines": Hostile("a.jsonl", lambda: filled(b"\n"), "holds no pairs"),
    "empty objects": Hostile("a.jsonl", lambda: filled(b"{}\n"), "'chosen' is missing"),
    "a list of lists": Hostile("a.json", lambda: b"[" + filled(b"[],") + b"[]]", r"row 1 is \[\]"),
    "a row of lists": Hostile("a.json", lambda: b"[[" + filled(b"[],") + b"[]]]", LIMIT),
    "a list of objects": Hostile(
        "a.json", lambda: b"[" + filled(b"{},") + b"{}]", "'chosen' is missing"
    ),
    "many rows": Hostile(
        "a.jsonl", lambda: filled(row()), "more than 100,000 rows"
    ),
    "a long number": Hostile("a.jsonl", lambda: b'{"chosen": ' + b"9" * 10**6 + b"}", "not valid"),
    "a margin of NaN": Hostile("a.jsonl", lambda: row(margin=float("nan")), "'margin' is nan"),
    "an infinite margin": Hostile("a.jsonl", lambda: row(margin=1e999), "'margin' is inf"),
    "a margin beyond floats": Hostile("a.jsonl", lambda: row(margin=10**400), "'margin' is 1000"),
    "a margin of 19 MB": Hostile("a.jsonl", lambda: row(margin="9" * 19_000_000), "is '99"),
    "half a character": Hostile("a.jsonl", lambda: row(prompt="\ud800"), "an incomplete character"),
    "broken UTF-8": Hostile("a.jsonl", lambda: GOOD + b"\xc3\x28\n", "as UTF-8 text"),
    "UTF-16": Hostile("a.jsonl", lambda: GOOD.decode().encode("utf-16"), "as UTF-8 text"),
    "a byte order mark": Hostile("a.jsonl", lambda: b"\xef\xbb\xbf" + GOOD, READ),
    "nothing but nulls": Hostile("a.jsonl", lambda: bytes(19_000_000), "not valid JSON"),
    "nulls in a text": Hostile("a.jsonl", lambda: row(prompt="\0" * 1000), READ),
    "a million keys": Hostile(
        "a.jsonl", lambda: row(**{f"k{n}": 0 for n in range(10**6)}), READ
    ),
    "keys of 1 MB": Hostile(
        "a.jsonl", lambda: json.dumps({"k" * 10**6: 0, "l" * 10**6: 0}).encode(), "add it"
    ),
    "one key twice": Hostile("a.jsonl", lambda: b'{"chosen": "a",' + row()[1:], READ),
    "rows that are none": Hostile("a.jsonl", lambda: b"null\n7\n", "row 1 is None, not an object"),
    "the same row 90,000 times": Hostile("a.jsonl", lambda: row() * 90_000, READ),
    "wide characters": Hostile("a.jsonl", wide_characters, READ),
    "an empty file": Hostile("a.jsonl", lambda: b"", "holds no pairs"),
}  # fmt: skip

PACKED = {
    "a bomb": Hostile(
        "a.jsonl.gz", lambda: filled(gzip.compress(bytes(10**8))), "over 20 MB of text"
    ),
    "rows within an older limit": Hostile(
        "a.jsonl.gz", lambda: gzip.compress(GOOD * 3_000_000, 1), "over 20 MB of text"
    ),
    "a packed CSV": Hostile(
        "a.csv.gz", lambda: gzip.compress(HEADER + b"a,b,c\n" * 9_000_000, 1), "over 20 MB of text"
    ),
    "a million empty parts": Hostile(
        "a.jsonl.gz", lambda: filled(gzip.compress(b"")), f"holds no pairs|{LIMIT}"
    ),
    "a long name inside": Hostile("a.jsonl.gz", long_gzip_name, f"as UTF-8 text|{LIMIT}"),
    "a part cut off": Hostile(
        "a.jsonl.gz", lambda: gzip.compress(GOOD * 99)[:-20], "as UTF-8 text"
    ),
    "a broken stream": Hostile(
        "a.jsonl.gz", lambda: gzip.compress(GOOD * 99)[:30] + b"\xff" * 99, "as UTF-8 text"
    ),
    "packed twice": Hostile(
        "a.jsonl.gz", lambda: gzip.compress(gzip.compress(GOOD)), "as UTF-8 text"
    ),
    "not packed at all": Hostile("a.jsonl.gz", lambda: GOOD, "as UTF-8 text"),
}  # fmt: skip

CSV = {
    "a million columns": Hostile("a.csv", lambda: b"c," * 10**6 + b"d\n", "1,000,001 columns"),
    "19 million columns": Hostile("a.csv", lambda: filled(b","), f"columns: keep|{LIMIT}"),
    "a row of commas": Hostile("a.csv", lambda: HEADER + filled(b","), f"more fields than|{LIMIT}"),
    "a quote never closed": Hostile(
        "a.csv", lambda: HEADER + b'"' + filled(b"a\n"), "field larger than"
    ),
    "quotes alone": Hostile("a.csv", lambda: HEADER + filled(b'""'), f"field larger|{LIMIT}"),
    "a field of 19 MB": Hostile("a.csv", lambda: HEADER + b"a," + filled(b"b"), "field larger"),
    "one column twice": Hostile("a.csv", lambda: b"chosen,chosen\na,b\n", "two columns named"),
    "line ends alone": Hostile("a.csv", lambda: filled(b"\r"), f"holds no pairs|{LIMIT}"),
    "a header alone": Hostile("a.csv", lambda: HEADER, "holds no pairs"),
    "many short rows": Hostile("a.csv", lambda: HEADER + filled(b",a,b\n"), "more than 100,000"),
    "what JSON writes with six": Hostile("a.csv", control_characters, "no usable pairs"),
    "nulls between commas": Hostile("a.csv", lambda: HEADER + b"\0,\0a,\0b\n", READ),
}  # fmt: skip

PARQUET = {
    "2,000 rows of 1 MB": Hostile(
        "a.parquet", lambda: parquet(repeated("x" * 10**6, 2000)), "1,000,000 characters"
    ),
    "90,000 rows of 190 kB": Hostile(
        "a.parquet", lambda: parquet(repeated("x" * 190_000, 90_000)), "over 20 MB of text"
    ),
    "a million rows of 190 kB": Hostile(
        "a.parquet", lambda: parquet(repeated("x" * 190_000, 10**6)), "more than 100,000 rows"
    ),
    "one page of 100 MB": Hostile(
        "a.parquet",
        lambda: parquet(repeated("x" * 190_000, 600), use_dictionary=False, data_page_size=10**9),
        f"over 20 MB of text|{LIMIT}",
    ),
    "90,000 nulls": Hostile("a.parquet", lambda: nulls(90_000), "'chosen' is null"),
    "five million rows": Hostile(
        "a.parquet", lambda: parquet(repeated("a", 5_000_000)), "more than 100,000 rows"
    ),
    "a lying footer": Hostile("a.parquet", lying_footer, f"not a readable Parquet|{READ}"),
    "a footer longer than the file": Hostile("a.parquet", long_footer, NOT_PARQUET),
    "bytes changed, 1": Hostile("a.parquet", lambda: flipped(1), ".parquet"),
    "bytes changed, 2": Hostile("a.parquet", lambda: flipped(2), ".parquet"),
    "bytes changed, 3": Hostile("a.parquet", lambda: flipped(3), ".parquet"),
    "cut in the middle": Hostile("a.parquet", lambda: small_parquet()[:300], NOT_PARQUET),
    "another magic": Hostile("a.parquet", lambda: small_parquet()[:-4] + b"PARX", NOT_PARQUET),
    "the magic alone": Hostile("a.parquet", lambda: b"PAR1", NOT_PARQUET),
    "a text called Parquet": Hostile("a.parquet", lambda: GOOD, NOT_PARQUET),
    "a nested type": Hostile("a.parquet", lambda: nested_type(20), "'chosen' is null"),
    "a very nested type": Hostile(
        "a.parquet", lambda: nested_type(400), f"not a readable Parquet|'chosen' is null|{LIMIT}"
    ),
    "lists of messages": Hostile(
        "a.parquet",
        lambda: parquet(pyarrow.table({"chosen": [[{"role": "user"}]], "rejected": ["a"]})),
        "is a list of messages",
    ),
    "numbers for texts": Hostile(
        "a.parquet", lambda: parquet(pyarrow.table({"chosen": [1], "rejected": [2]})), "is 1, not"
    ),
    "broken UTF-8 inside": Hostile("a.parquet", broken_parquet_text, NOT_PARQUET),
    "5,000 columns": Hostile(
        "a.parquet", lambda: columns([f"c{n}" for n in range(5000)]), "5,000 columns"
    ),
    "one column twice in Parquet": Hostile(
        "a.parquet", lambda: columns(["chosen", "chosen"]), "two columns named 'chosen'"
    ),
    "5,000 row groups": Hostile("a.parquet", many_row_groups, READ),
    "no rows": Hostile("a.parquet", lambda: parquet(repeated("a", 0)), "no pair"),
}  # fmt: skip

OTHERS = {
    "an unknown kind": Hostile("a.xml", lambda: GOOD, "cannot be read: upload a JSONL"),
    "one byte too many": Hostile("a.jsonl", lambda: b" " * (MOST + 1), "larger than 20 MB"),
}

FILES = {**JSON, **PACKED, **CSV, **PARQUET, **OTHERS}

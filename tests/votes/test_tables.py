"""The tables of the votes, in SQLite and in PostgreSQL."""

from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from rlhf_demo.votes.tables import metadata


def test_tables_can_be_made_in_another_database():
    made = {
        table.name: str(CreateTable(table).compile(dialect=postgresql.dialect()))
        for table in metadata.sorted_tables
    }
    assert set(made) == {
        "questions",
        "lessons",
        "rounds",
        "raters",
        "pairs",
        "showings",
        "demonstrations",
        "rankings",
        "predictions",
        "tries",
    }
    assert "choice IN ('first', 'second', 'tie', 'both_bad', 'skip')" in made["showings"]

"""The tables of the votes, in SQLite and in PostgreSQL."""

from sqlalchemy.dialects import postgresql
from sqlalchemy.schema import CreateTable

from rlhf_demo.votes.tables import metadata


def test_tables_can_be_made_in_another_database():
    made = [
        str(CreateTable(t).compile(dialect=postgresql.dialect())) for t in metadata.sorted_tables
    ]
    assert len(made) == 7
    assert "choice IN ('first', 'second', 'tie', 'both_bad', 'skip')" in made[-1]

"""Runs as processes: a line of them, started, watched, stopped and resumed."""

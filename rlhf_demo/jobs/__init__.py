"""Runs as processes: queued, started, watched, stopped and resumed."""

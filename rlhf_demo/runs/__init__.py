"""One run, one folder: its files, its rows as they arrive, and its story in words."""

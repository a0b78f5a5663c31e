"""One run, one folder: its files, its rows as they come, and what they say in words."""

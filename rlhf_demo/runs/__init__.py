"""A run's folder: its files, its rows as they arrive, and a sentence that explains its curves."""

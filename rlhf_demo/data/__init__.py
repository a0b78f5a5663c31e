"""Data: preference pairs, prompts, documents and reviews, read from files and from the Hub."""

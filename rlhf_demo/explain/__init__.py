"""One text opened up: what each part of it adds to its score."""

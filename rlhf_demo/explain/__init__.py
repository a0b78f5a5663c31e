"""One text opened up: what each part of it adds."""

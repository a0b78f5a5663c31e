"""People's votes: who voted, on what, in which class, and what the votes are worth."""

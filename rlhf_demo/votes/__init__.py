"""People's votes: who voted, on what, in which class, and how reliable the votes are."""

"""Networks: load them, sample from them, read texts with them, score with them."""

"""Networks: how the app loads them, samples from them, and scores texts with them."""

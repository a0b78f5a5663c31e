"""Between the network and the page: who may send requests, how often, and how many at once."""

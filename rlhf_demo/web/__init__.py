"""Between the network and the page: who may ask, how often, and how much at once."""

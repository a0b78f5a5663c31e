"""What stands between the network and the page: who may ask, how often, how much at once."""

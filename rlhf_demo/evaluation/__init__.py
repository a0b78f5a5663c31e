"""How good a model is: two models compared, a reward model tested, texts measured."""

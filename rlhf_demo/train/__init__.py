"""One file for each stage of training, and what the stages share."""

"""From a model's name to its folder, on this machine or on the Hugging Face Hub."""

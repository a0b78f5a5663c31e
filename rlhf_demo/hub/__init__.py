"""Find a model's folder by its name, on this machine or on the Hugging Face Hub."""

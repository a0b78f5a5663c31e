"""The Hugging Face Hub: find a model's folder by its name, and read and write repositories."""

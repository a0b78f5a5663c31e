"""From names to folders and data sets, on this machine and on the Hugging Face Hub."""

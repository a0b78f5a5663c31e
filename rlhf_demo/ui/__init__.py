"""The page: everything that knows gradio lives here and nowhere else."""

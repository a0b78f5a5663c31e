"""What can be asked for: every option of every stage, declared once."""

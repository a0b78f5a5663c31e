"""Every option of every stage, declared once, and the stages themselves."""

"""What the running app does, without a page."""

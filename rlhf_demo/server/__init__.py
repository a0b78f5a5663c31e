"""What the running app does without a page: lists, rules, uploads, classes, settings."""

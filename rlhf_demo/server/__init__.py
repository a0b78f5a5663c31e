"""The running app's logic, without the page: lists, rules, uploads, classes, settings."""

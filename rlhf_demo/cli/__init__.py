"""The command line: a command for each stage, and others that compare, list, ship and print."""

"""The command line: the stages, and commands that compare, list, ship and print."""

"""The command line, called as a person would."""

from rlhf_demo.cli.main import main


def refused(capsys, *arguments):
    """Run a command that must fail; return its one sentence."""
    capsys.readouterr()
    assert main([str(argument) for argument in arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    assert err.startswith("error: ")
    assert err.count("\n") == 1, err
    return err

"""Commands of `smp`, run in this process."""

from click.testing import CliRunner, Result

from model.cli.group import main


def smp(*arguments: object, code: int = 0) -> Result:
    """Run `smp` in this process, and see that it ends with `code`."""
    done = CliRunner().invoke(main, [str(part) for part in arguments], catch_exceptions=False)
    assert done.exit_code == code, done.output
    return done

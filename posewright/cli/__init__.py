"""The command line: `posewright VERB`. One file per verb; anything heavy is imported inside the verb."""

import os
import sys

INTERRUPTED = 130
GO_ON = "interrupted: what was finished is kept; run the same command again to go on"


def main() -> None:
    """Run the command line; errors become one line on stderr and an exit status (1 failed, 2 wrong usage)."""
    debug = "--debug" in sys.argv or os.environ.get("POSEWRIGHT_DEBUG") == "1"
    arguments = [a for a in sys.argv[1:] if a != "--debug"]
    sys.exit(run_command_line(arguments, debug))


def run_command_line(arguments: list[str], debug: bool = False) -> int:
    """Run one command line and return its exit status; with `debug`, an error shows its traceback."""
    import typer

    from posewright.cli.app import app

    try:
        result = app(arguments, prog_name="posewright", standalone_mode=False)
        if result == INTERRUPTED:  # the parser turns Ctrl-C into this
            _say(GO_ON)
        return result if isinstance(result, int) else 0
    except (typer.Abort, KeyboardInterrupt):
        _say(GO_ON)
        return INTERRUPTED
    except typer.Exit as error:
        return error.exit_code
    except SystemExit as stop:  # a recipe or a measurement ended itself
        if isinstance(stop.code, str):
            _say(stop.code)
        return stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if hasattr(error, "show") and hasattr(error, "exit_code"):  # wrong usage: the parser words it best
            error.show()  # type: ignore[attr-defined]
            return error.exit_code  # type: ignore[attr-defined]
        if debug:
            raise
        _say(explain(error))
        return 1


def explain(error: Exception) -> str:
    """One line for a person: what went wrong, and for anything unforeseen how to see more."""
    if isinstance(error, OSError):
        place = f"{error.filename}: " if error.filename else ""
        return f"{place}{error.strerror or error}"
    if isinstance(error, ValueError | LookupError | ImportError) and error.args:
        return " ".join(str(error.args[0]).split())
    text = " ".join(str(error).split()) or "no message"
    return f"unexpected {type(error).__name__}: {text} (--debug shows where; please report it)"


def _say(line: str) -> None:
    print(f"posewright: {line}", file=sys.stderr)

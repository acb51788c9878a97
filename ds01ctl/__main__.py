"""Run the command line: `ds01ctl`, and `python -m ds01ctl`."""

import os


def main() -> None:
    """Run the command line; a ^C while it is still loading ends it as quietly as a later one."""
    try:
        import signal

        # nothing has begun yet: let the kernel end it, for Python would show where it was loading
        signal.signal(signal.SIGINT, signal.SIG_DFL)
        from ds01ctl import cli

        signal.signal(signal.SIGINT, signal.default_int_handler)
        cli.main()
    except KeyboardInterrupt:
        os._exit(130)


if __name__ == "__main__":
    main()

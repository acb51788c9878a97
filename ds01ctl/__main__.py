"""Run the command line with ``python -m ds01ctl``."""

from ds01ctl.cli import main

if __name__ == "__main__":
    main()

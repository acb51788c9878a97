"""`python -m tests.bench`."""

from tests.bench.bench import main

if __name__ == "__main__":
    main()

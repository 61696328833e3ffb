"""`python -m letterlock`."""

import sys

from letterlock.cli import main

if __name__ == "__main__":
    sys.exit(main())

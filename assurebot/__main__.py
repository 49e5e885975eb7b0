"""`python -m assurebot`."""

import sys

from assurebot.cli import main

if __name__ == "__main__":
    sys.exit(main())

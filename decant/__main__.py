"""`python -m decant …` is `decant …`."""

import sys

from decant.cli import main

if __name__ == "__main__":
    sys.exit(main())

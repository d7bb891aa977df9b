"""``python -m penstock``: see what is installed, try it, talk to it."""

import sys

from penstock._commands import main

if __name__ == "__main__":
    sys.exit(main())

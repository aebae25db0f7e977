"""`python -m minifcn` is the command `minifcn`."""

import sys

from .cli import main

sys.exit(main())

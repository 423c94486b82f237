"""``python -m carousel``, which ``torchrun -m carousel`` starts on every process."""

import sys

from carousel.cli import main

if __name__ == "__main__":
    sys.exit(main())

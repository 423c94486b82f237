"""The command line: parsing and printing only."""

from carousel.cli.program import main as main

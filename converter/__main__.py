"""``python -m converter``."""

from converter.cli import run

if __name__ == "__main__":
    run()

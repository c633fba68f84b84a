"""``python -m metastrata.commands``: the command line."""

from metastrata.commands import main

if __name__ == "__main__":
    main()

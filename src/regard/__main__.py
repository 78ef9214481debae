"""`python -m regard`: the command, where its script is not on the path."""

from regard.cli.app import main

if __name__ == "__main__":
    main()

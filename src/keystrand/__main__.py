"""`python -m keystrand` is the command `keystrand`."""

from keystrand.cli.main import main

if __name__ == "__main__":
    main()

"""The command line. Exit status: 0 done, 1 a result is unreliable, 2 the input or the words are wrong, 130 stopped.

What a verb needs is imported inside it: `check` and `effects` must answer without loading PyMC.

app        the words all verbs share, and how a verb ends
plans      check, run: a plan read, and run
folders    export, verify, rerun: what a run wrote
tables     effects: a study table as effect sizes
beginning  new, priors, selftest: what one needs before, and to trust the installation
"""

from metastrata.commands import beginning, folders, plans, tables
from metastrata.commands.app import app

__all__ = ["app", "beginning", "folders", "main", "plans", "tables"]

ORDER = ("check", "run", "export", "verify", "rerun", "effects", "new", "priors", "selftest")
app.registered_commands.sort(key=lambda command: ORDER.index(command.callback.__name__ if command.callback else ""))


def main() -> None:
    """Run the command line."""
    app()

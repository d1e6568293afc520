"""headtorch config: where the settings are, and which are in force."""

from __future__ import annotations

import typer

config = typer.Typer(
    help="Show the settings of the workbench.", no_args_is_help=True, rich_markup_mode=None, add_completion=False
)


@config.command()
def path() -> None:
    """Print the path of the settings file, whether it is there or not.

    \b
    Example:
      $EDITOR "$(headtorch config path)"
    """
    from headtorch.tui.cli import send
    from headtorch.tui.settings import FILE, config_folder

    send(f"{config_folder() / FILE}\n")


@config.command()
def show() -> None:
    """Print every setting in force, as TOML; what cannot be used goes to standard error. Keys are never printed.

    \b
    Example:
      headtorch config show
    """
    import sys

    from headtorch.core.text import visible
    from headtorch.tui.cli import send
    from headtorch.tui.explainer_settings import explainer_problems
    from headtorch.tui.settings import load_settings

    settings = load_settings()
    send(settings.as_toml())
    for problem in (*settings.problems, *explainer_problems(settings)):
        sys.stderr.write(f"headtorch: {visible(problem)}\n")

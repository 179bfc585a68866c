"""`callverdict rules`: the tables that decide, as Markdown."""

from __future__ import annotations

from pathlib import Path

import click

FOUND = 1
PAGE = Path("docs/rules.md")


@click.command()
@click.option("--check", is_flag=True, help="Print nothing; exit 1 if the page differs from the code.")
@click.option("--write", is_flag=True, help="Write the page.")
@click.option("--file", "path", type=click.Path(dir_okay=False, path_type=Path), default=PAGE, show_default=True, help="The page.")
def rules(*, check: bool, write: bool, path: Path) -> None:
    """Print the rule table, the rows that speak for a call, and the cause tables as Markdown, from the code that decides.

    \b
    Example:
      callverdict rules | less
      callverdict rules --check
    """  # noqa: D301 - \b is click's mark for lines to keep
    from pipeline.workbench.rulebook import markdown

    if check and write:
        raise click.UsageError("give --check or --write, not both")
    page = markdown()
    if check:
        compare(path, page)
    elif write:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(page, encoding="utf-8")
        click.echo(f"wrote {path}", err=True)
    else:
        click.echo(page, nl=False)


def compare(path: Path, page: str) -> None:
    if path.read_text(encoding="utf-8") != page:
        click.echo(f"{path} differs from the code: write it with `callverdict rules --write`")
        raise SystemExit(FOUND)
    click.echo(f"{path} says what the code does", err=True)

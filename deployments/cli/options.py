"""Options that several commands have."""

from typing import Annotated

import typer

ProfileOption = Annotated[str, typer.Option("--profile", "-p", help="Name of a profile, or path of a .yaml file.")]
HomeOption = Annotated[str | None, typer.Option("--home", help="Store: folder or fsspec URL [ALMOST_HOME or .almost].")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", metavar="SECTION.FIELD=VALUE", help="Change a field; may be repeated.")
]

"""The pull step of every deployment: a flow run uses the code that is installed where its worker runs.

Nothing is fetched, and no folder is written into a deployment: workers on different machines, or with different folders
on one, share the store and the API alone.
"""

import os

from data_contracts.store.home import working_folder


def use_own_checkout() -> dict[str, str]:
    """Make the worker's checkout the working directory; with an installed package the flow run stays where it is."""
    folder = working_folder()
    os.chdir(folder)
    return {"directory": str(folder)}

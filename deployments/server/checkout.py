"""The pull step of every deployment: a flow run uses the checkout that is installed where its worker runs.

Nothing is fetched, and no folder is written into a deployment: workers on different machines, or with different folders
on one, share the store and the API alone.
"""

import os

from data_contracts.store.home import PROJECT_ROOT


def use_own_checkout() -> dict[str, str]:
    """Make this checkout the working directory."""
    os.chdir(PROJECT_ROOT)
    return {"directory": str(PROJECT_ROOT)}

"""Reference pages of the documentation, written from the code they describe: `python -m deployments.reference`."""

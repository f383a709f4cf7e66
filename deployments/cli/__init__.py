"""The command line `almost`."""

"""Where and with which numbers: profiles, the command line, work pools."""

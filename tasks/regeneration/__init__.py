"""Scheduled regeneration: numbered publications of data, and pools that grow from one to the next."""

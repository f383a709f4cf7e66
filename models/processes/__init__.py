"""Jobs as processes: starting, watching, ending them, and the protocol between launcher and job."""

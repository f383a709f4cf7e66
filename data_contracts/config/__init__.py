"""The profile's sections, each field with its unit, bounds and source."""

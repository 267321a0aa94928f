"""Owns the exhibits: measurements with targets that show a user what the parts of the system are worth."""

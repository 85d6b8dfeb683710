"""The gauntlet: the same shortages under each guard, in the same machine, measured from inside it."""

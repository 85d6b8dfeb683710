"""Incidents for tests/test_replay.py: real shortages, as the deciding side of the guard saw them."""

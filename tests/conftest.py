"""What all tests share."""

from hypothesis import settings

# How long an example takes says more of the host than of the code.
settings.register_profile("oomguard", deadline=None)
settings.load_profile("oomguard")

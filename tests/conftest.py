"""What all tests share."""

from hypothesis import HealthCheck, settings

# How long an example takes says more of the host than of the code.
settings.register_profile("oomguard", deadline=None)
# `make fuzz`: as many examples as are worth an hour, whatever it takes to make them.
settings.register_profile(
    "fuzz",
    deadline=None,
    max_examples=5000,
    suppress_health_check=(HealthCheck.too_slow, HealthCheck.data_too_large),
)
settings.load_profile("oomguard")

"""What the operator chooses on the dashboards; the source of the data is on all of them."""

from __future__ import annotations

from grafana.board import Choice, Choices

JOB = Choice(name="job", label="Job", query="label_values(oomguard_up, job)")
JOBS = Choices(name="job", label="Job", query="label_values(oomguard_up, job)")
INSTANCE = Choice(name="instance", label="Instance", query='label_values(oomguard_up{job="$job"}, instance)')
INSTANCES = Choices(
    name="instance", label="Instance", query='label_values(oomguard_up{job=~"$job"}, instance)'
)
CLUSTERS = Choices(name="cluster", label="Cluster", query='label_values(oomguard_up{job=~"$job"}, cluster)')

"""The dashboards: described as values, built with Grafana's own SDK, committed as JSON in `dashboards/`."""

"""When somebody should look: one table of alarms over metrics, from which Prometheus rules, the
table of docs/operation.md and messages to a webhook or Slack are made."""

"""Tables of alerts: rules, alerts, channels, notifications."""

"""PURE. What cron makes of a crontab, and the systemd units that do the same."""

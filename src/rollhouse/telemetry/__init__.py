"""Names and set-up of metrics and logs; knows no domain."""

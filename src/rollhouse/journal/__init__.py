"""What was done, by whom and why: rows that commit in the transaction of their effect."""

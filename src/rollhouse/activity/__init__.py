"""What happened and why: the request log of every tenant, what it adds up to, and words for people about it."""

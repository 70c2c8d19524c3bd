"""Where Rollhouse itself does not do what a requirement says, and why: the reasons that its report gives for the rows that are not passed."""

KEPT = "what an identity provider sends is kept as sent, or its next cycle would find a difference and write again; refusing it would lose the account"
DEVIATIONS = {
    "7643-4.1.1-03": KEPT,
    "7643-4.1.1-04": KEPT,
    "7643-4.1.2-01": KEPT + "; letter case is ignored in comparisons",
    "7643-4.1.2-03": KEPT,
    "7643-4.1.2-06": "a certificate is held to base64 and not parsed; " + KEPT,
    "7643-4.3-01": "Entra and others write `manager.displayName`; " + KEPT,
    "7643-4.3-02": "the manager may come later than the person; an address of nobody would be worse than none",
    "7643-5-03": "without a secret a tenant is not told from one that never was, in discovery neither; both schemes are in the documentation",
    "7644-3.11-01": "the secret of the report speaks for a user, so there is `/Me`; with any other it is 501 (`tests/http/test_answers_as_wanted.py`)",
    "7644-3.13-02": "the version is part of the Tenant URL that the portal gives out",
    "7644-7.5.2-01": "what nobody may see is kept nowhere and can be filtered by in no way: 400 `invalidFilter`, in a GET as in a search",
    "9865-2.1-02": "tried by `tests/http/test_cursors.py` with the clock put forward",
    "9865-4-04": "tried by `tests/http/test_cursors.py` with the clock put forward",
}
"""By id of requirement."""

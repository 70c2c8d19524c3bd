"""Tenant URLs as administrators paste them, and the exact query encoding (scim-clients section 2)."""

import pytest

from rollhouse.simulator.profile import FlagPropagation
from rollhouse.simulator.tenant_url import FLAG, form_encode, parse_tenant_url

FILTER = (("filter", 'userName eq "a+b@acme.example"'),)


@pytest.mark.parametrize(
    ("pasted", "requested", "flagged"),
    [
        ("https://scim.example/t/acme/v2", "https://scim.example/t/acme/v2/Users", False),
        ("https://scim.example/t/acme/v2/", "https://scim.example/t/acme/v2//Users", False),
        ("https://scim.example/", "https://scim.example/Users", False),
        ("https://scim.example", "https://scim.example/Users", False),
        (f"https://scim.example/v2?{FLAG}", "https://scim.example/v2/Users", True),
        (f" https://scim.example/v2?{FLAG}= ", "https://scim.example/v2/Users", True),
        ("http://127.0.0.1:8080/v2?x=1", "http://127.0.0.1:8080/v2/Users", False),
    ],
)
def test_resource_paths_are_appended_to_the_path(pasted: str, requested: str, *, flagged: bool) -> None:
    url = parse_tenant_url(pasted)

    assert (str(url.request_url("/Users", (), None)), url.flagged) == (requested, flagged)


@pytest.mark.parametrize(
    ("propagation", "query"),
    [
        (None, "filter=userName+eq+%22a%2bb%40acme.example%22"),
        ("stripped", "filter=userName+eq+%22a%2bb%40acme.example%22"),
        ("bare", f"{FLAG}&filter=userName+eq+%22a%2bb%40acme.example%22"),
        ("equals", f"filter=userName+eq+%22a%2bb%40acme.example%22&{FLAG}="),
    ],
)
def test_flag_is_stripped_or_propagated_in_two_spellings(propagation: FlagPropagation | None, query: str) -> None:
    url = parse_tenant_url("https://scim.example/v2").request_url("/Users", FILTER, propagation)

    assert str(url) == f"https://scim.example/v2/Users?{query}"


def test_encoding_is_form_style_with_lower_case_hex() -> None:
    assert form_encode('emails[type eq "work"].value') == "emails%5btype+eq+%22work%22%5d.value"
    assert form_encode("é & #") == "%c3%a9+%26+%23"


@pytest.mark.parametrize("text", ["", "scim.example/v2", "ftp://scim.example", "https://"])
def test_anything_but_an_absolute_url_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match="absolute"):
        parse_tenant_url(text)


@pytest.mark.parametrize("text", ["https://ada:marsh@scim.example", "https://scim.example:0/", "https://scim.example:99999/"])
def test_credentials_and_impossible_ports_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"credentials|[Pp]ort"):
        parse_tenant_url(text)

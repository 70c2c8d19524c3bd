"""Users to try with: one with every attribute of the standard, and families of users to query among."""

from typing import Self

from rollhouse.conformance.checks.finding import lacks, need, user_with
from rollhouse.conformance.checks.judging import list_of, listed
from rollhouse.conformance.probe import Json, Probe
from rollhouse.conformance.requirement import NotApplicable, expect

CERTIFICATE = (
    "MIHLMH+gAwIBAgIBATAFBgMrZXAwEDEOMAwGA1UEAwwFcHJvYmUwHhcNMjAwMTAxMDAwMDAwWhcNNDkwMTAxMDAwMDAwWjAQMQ4wDAYDVQQDDAVwcm9iZTAqMAUGAytlcAMh"
    "AAAtf1u4QstHLQAjZ0N2XdV/d5MN8dPWTLhTiwgPfngzMAUGAytlcANBADuwfU9KZDJFZBxfVlCpZGb8kdhq+YmuI1iKCldXukhhZZD48anhW/nuqCUH5f4xXOwFz78NEQUe"
    "z8FEbR8ylAM="
)
"""One X.509 certificate, self-signed, of nobody."""
MOST_NEW_USERS = 500
FULL: dict[str, Json] = {
    "externalId": "external-1",
    "name": {"formatted": "Dr. Ann Bea Clay Jr.", "familyName": "Clay", "givenName": "Ann", "middleName": "Bea", "honorificPrefix": "Dr."},
    "displayName": "Ann Clay",
    "nickName": "Annie",
    "profileUrl": "https://example.com/ann",
    "title": "Engineer",
    "userType": "Employee",
    "preferredLanguage": "en-GB",
    "locale": "en-GB",
    "timezone": "Europe/London",
    "active": True,
    "phoneNumbers": [{"value": "tel:+1-201-555-0123", "type": "work"}],
    "ims": [{"value": "ann", "type": "xmpp"}],
    "photos": [{"value": "https://example.com/ann.png", "type": "photo"}],
    "addresses": [{"streetAddress": "1 High Street", "locality": "London", "postalCode": "N1", "country": "GB", "type": "work"}],
    "entitlements": [{"value": "desk"}],
    "roles": [{"value": "staff"}],
    "x509Certificates": [{"value": CERTIFICATE}],
}


async def full_attributes(probe: Probe) -> Json:
    """Every attribute of the standard that the server's User schema has, with a value."""
    attributes = {**FULL, "emails": [{"value": f"{probe.name('ann')}@example.com", "type": "work", "primary": True}]}
    missing = await lacks(probe, *attributes)
    return {name: value for name, value in attributes.items() if name not in missing}


class Family:
    """Users whose userNames begin with the same new text, so that a query among them finds no others."""

    def __init__(self, marker: str, probe: Probe) -> None:
        self.marker = marker
        self.users: dict[str, Json] = {}
        self._probe = probe

    @classmethod
    async def of(cls, probe: Probe, **members: Json) -> Self:
        """A family of users with these attributes, each named by the word it is called here; filters have to be supported."""
        await need(probe, "filter")
        family = cls(probe.name("f"), probe)
        for called, attributes in members.items():
            family.users[called] = await user_with(probe, **{"userName": f"{family.marker}-{called}", **attributes})
        return family

    @property
    def filter(self) -> str:
        """The filter that finds the whole family."""
        return f'userName sw "{self.marker}-"'

    def name(self, called: str) -> str:
        """The userName of a member."""
        return str(self.users[called]["userName"])

    def called(self, resources: list[Json]) -> list[str]:
        """What these members are called, in this order."""
        ids = {user["id"]: called for called, user in self.users.items()}
        return [ids.get(one.get("id"), "somebody else") for one in resources]

    async def sorted_by(self, attribute: str, **query: str) -> list[str]:
        """The members in the order of an attribute."""
        return self.called(await listed(self._probe, "/Users", filter=self.filter, sortBy=attribute, **query))

    async def expect_found(self, filter_: str, *called: str) -> None:
        """A filter finds just these of the family."""
        found = self.called(await listed(self._probe, "/Users", filter=f"({filter_}) and {self.filter}"))
        expect(sorted(found) == sorted(called), f"the filter {filter_} finds {sorted(found) or 'nobody'} instead of {sorted(called) or 'nobody'}")


async def numbered_family(probe: Probe, count: int = 5, **attributes: Json) -> Family:
    """A family of as many alike users, called u1, u2..."""
    return await Family.of(probe, **{f"u{number}": attributes for number in range(1, count + 1)})


async def store_users(probe: Probe, count: int) -> None:
    """Go on with at least so many users on the server.

    Raises:
        NotApplicable: it would take too many new ones.
    """
    missing = count - (await list_of(probe, "/Users", count="0")).get("totalResults", 0)
    if missing > MOST_NEW_USERS:
        raise NotApplicable(f"trying this would take {missing} new users")
    for _ in range(missing):
        await probe.new_user()

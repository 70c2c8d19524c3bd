"""The catalogues of words: English is in the templates, other languages are read from `locale/<language>.po`."""

import gettext
from functools import cache
from io import BytesIO
from pathlib import Path

from babel import negotiate_locale
from babel.messages.pofile import read_po

LOCALES = Path(__file__).with_name("locale")
DEFAULT = "en"


class Words(gettext.NullTranslations):
    """The translations of one language; what has none is shown in English."""

    def __init__(self, language: str, known: dict[str, str]) -> None:
        super().__init__()
        self.language = language
        self._known = known

    def gettext(self, message: str) -> str:
        """The message in this language."""
        return self._known.get(message, message)


@cache
def languages() -> dict[str, Words]:
    """Every language that has a catalogue, and English."""
    found = {DEFAULT: Words(DEFAULT, {})}
    for path in sorted(LOCALES.glob("*.po")):
        catalogue = read_po(BytesIO(path.read_bytes()), locale=path.stem)
        found[path.stem] = Words(path.stem, {str(one.id): str(one.string) for one in catalogue if one.id and one.string and not one.fuzzy})
    return found


def words_for(chosen: str, accepted: str) -> Words:
    """The words in the chosen language, else in the first that the browser accepts (RFC 9110 section 12.5.4), else in English."""
    known = languages()
    if chosen in known:
        return known[chosen]
    wanted = [part.partition(";")[0].strip().replace("-", "_") for part in accepted[:200].split(",")]
    return known[negotiate_locale(wanted, list(known)) or DEFAULT]

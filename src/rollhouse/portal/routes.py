"""All routes of the portal behind their gate, and its files."""

from functools import cache
from mimetypes import guess_type

from litestar import Response, Router, get
from litestar.params import FromPath

from rollhouse.portal import connection, operator_pages, reports, resource_pages, setup_guide, sign_in, tenant_pages
from rollhouse.portal.forms import FORM_BYTES_LIMIT
from rollhouse.portal.gate import PageGate
from rollhouse.portal.pages import STATIC, STATIC_PATH
from rollhouse.scim.errors import NotFound

PATHS = ("/admin", "/portal", "/setup", "/signin", "/signout", "/choices", STATIC_PATH)
"""What the portal's addresses begin with; `/` itself is its, too."""
_PAGES = (sign_in, tenant_pages, resource_pages, reports, connection, setup_guide, operator_pages)
_WEEK_SECONDS = 7 * 24 * 3600


@cache
def _files() -> dict[str, tuple[bytes, str]]:
    found = {}
    for path in STATIC.rglob("*"):
        if path.is_file() and path.suffix in (".css", ".js", ".svg"):
            found[path.relative_to(STATIC).as_posix().replace("/", "-")] = (path.read_bytes(), guess_type(path.name)[0] or "application/octet-stream")
    return found


@get(f"{STATIC_PATH}/{{name:str}}", opt={"audience": "file"})
async def get_file(name: FromPath[str]) -> Response[bytes]:
    """A style sheet, script or picture."""
    found = _files().get(name)
    if found is None:
        raise NotFound("There is no such file.")
    return Response(found[0], media_type=found[1], headers={"cache-control": f"public, max-age={_WEEK_SECONDS}"})


def portal_router() -> Router:
    """The pages for operators, members of tenants and guests."""
    return Router(
        "/",
        middleware=[PageGate()],
        request_max_body_size=FORM_BYTES_LIMIT,
        route_handlers=[get_file, *(route for pages in _PAGES for route in pages.ROUTES)],
    )


def is_portal(path: str) -> bool:
    """Whether an address is the portal's, so that what is wrong with it is said in a page."""
    return path == "/" or path.startswith(PATHS)

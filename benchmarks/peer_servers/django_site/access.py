"""Who may ask: whoever sends the one secret."""

import hmac

from django.conf import settings


class Client:
    """The identity provider."""

    is_authenticated = True


class BearerMiddleware:
    """Sets `request.user` for django-scim2's own check."""

    def __init__(self, get_response) -> None:
        self.get_response = get_response
        self.expected = f"Bearer {settings.SECRET_KEY}"

    def __call__(self, request):
        if hmac.compare_digest(request.headers.get("Authorization", ""), self.expected):
            request.user = Client()
        return self.get_response(request)

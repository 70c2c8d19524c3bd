"""Settings of the project: no middleware but the check of the bearer token, connections kept open, logging off."""

import os

ALLOWED_HOSTS = ["*"]
AUTH_USER_MODEL = "django_site.User"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "NAME": os.environ["PEER_DATABASE"],
        "USER": os.environ["PEER_ROLE"],
        "HOST": os.environ["PEER_HOST"],
        "CONN_MAX_AGE": None,
    }
}
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
INSTALLED_APPS = ["django.contrib.auth", "django.contrib.contenttypes", "django_scim", "django_site"]
LOGGING_CONFIG = None
MIDDLEWARE = ["django_site.access.BearerMiddleware"]
MIGRATION_MODULES = {"auth": None, "contenttypes": None}
ROOT_URLCONF = "django_site.urls"
SCIM_SERVICE_PROVIDER = {
    "AUTHENTICATION_SCHEMES": [{"type": "oauthbearertoken", "name": "OAuth Bearer Token", "description": "A secret in the Authorization header"}],
    "GROUP_MODEL": "django_site.models.Group",
    "NETLOC": "localhost",
    "SCHEME": "http",
}
SECRET_KEY = os.environ["PEER_SECRET"]
USE_TZ = True

"""The smallest Django project that serves django-scim2 from Postgres; run by gunicorn in the peers' environment."""

"""Users and groups with django-scim2's columns and its indexes."""

from django.contrib.auth.models import AbstractUser
from django.db import models
from django_scim.models import AbstractSCIMGroupMixin, AbstractSCIMUserMixin


class Group(AbstractSCIMGroupMixin):
    """A group; its members are `user_set`, the name that django-scim2's adapter reads."""

    name = models.CharField(max_length=254, unique=True)


class User(AbstractSCIMUserMixin, AbstractUser):
    """A user of Django's own kind."""

    scim_groups = models.ManyToManyField(Group, related_name="user_set")

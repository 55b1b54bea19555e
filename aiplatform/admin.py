"""People and groups in the console's look; the queue's own tables are kept out of it.

The queue is only a doorbell: a run's row is the truth, and its page the place to look.
"""

from __future__ import annotations

from django.contrib import admin
from django.contrib.auth import admin as auth_admin
from django.contrib.auth.models import Group, User
from django_q import admin as queue_admin
from django_q.models import Failure, OrmQ, Schedule, Success
from unfold.admin import ModelAdmin
from unfold.forms import AdminPasswordChangeForm, UserChangeForm, UserCreationForm

from aiplatform.console.lists import draw_headers_once

__all__ = ["GroupAdmin", "UserAdmin", "queue_admin"]  # importing queue_admin registers what is taken out below

draw_headers_once()

for table in (User, Group, Failure, OrmQ, Schedule, Success):
    admin.site.unregister(table)


@admin.register(User)
class UserAdmin(auth_admin.UserAdmin, ModelAdmin):  # type: ignore[misc, type-arg]
    """People: who may come in, and who may do everything."""

    form = UserChangeForm
    add_form = UserCreationForm
    change_password_form = AdminPasswordChangeForm
    list_display = ("username", "email", "is_staff", "is_superuser", "is_active", "last_login")


@admin.register(Group)
class GroupAdmin(auth_admin.GroupAdmin, ModelAdmin):  # type: ignore[misc]
    """Groups of people with the same permissions."""

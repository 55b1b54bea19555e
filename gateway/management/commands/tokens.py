"""`manage.py tokens`: make, list and revoke tokens."""

from __future__ import annotations

import getpass
import json
import re
from datetime import timedelta
from typing import Any

from django.core.management.base import CommandError, CommandParser

from aiplatform.errors import InvalidInputError, PlatformError
from aiplatform.identity import Scope
from aiplatform.management.platform_command import PlatformCommand
from gateway.models import Token
from gateway.selectors import list_tokens
from gateway.services import create_token, revoke_token

_UNITS = {"m": "minutes", "h": "hours", "d": "days", "w": "weeks"}


class Command(PlatformCommand):
    """Manage the keys of the APIs."""

    help = "Make, list and revoke API tokens. The secret is shown once, when the token is made."

    def add_arguments(self, parser: CommandParser) -> None:
        """Declare create, list and revoke."""
        actions = parser.add_subparsers(dest="action", required=True)
        create = actions.add_parser("create", help="make a token and show its secret")
        create.add_argument("user", help="user name; the user must exist")
        create.add_argument("--name", required=True, help="what it is for")
        create.add_argument("--scope", action="append", required=True, choices=[s.value for s in Scope], dest="scopes")
        create.add_argument("--expires", default="", help="for example 12h, 30d, 4w; without it: never")
        create.add_argument("--predict-rate", default="", help="for example 100/min, instead of RATE_LIMIT_PREDICT")
        create.add_argument("--api-rate", default="", help="for example 100/min, instead of RATE_LIMIT_API")
        create.add_argument("--json", action="store_true", dest="as_json")
        listing = actions.add_parser("list", help="show all tokens, never their secrets")
        listing.add_argument("--json", action="store_true", dest="as_json")
        revoke = actions.add_parser("revoke", help="make a token useless, everywhere within 5 s")
        revoke.add_argument("id", type=int)

    def handle(self, *args: Any, **options: Any) -> None:
        """Run the action; a rule that was broken ends with exit code 1."""
        try:
            getattr(self, f"_{options['action']}")(options)
        except PlatformError as error:
            raise CommandError(str(error)) from error

    def _create(self, options: dict[str, Any]) -> None:
        token, secret = create_token(
            username=options["user"],
            name=options["name"],
            scopes=options["scopes"],
            expires_in=parse_period(options["expires"]),
            predict_rate=options["predict_rate"],
            api_rate=options["api_rate"],
            actor=_operator(),
        )
        if options["as_json"]:
            self.stdout.write(json.dumps({**_plain(token), "token": secret}))
            return
        self.stdout.write(f"Token {token.pk} '{token.name}' for {options['user']}, scopes {', '.join(token.scopes)}.")
        self.stdout.write("Its secret, which will not be shown again:\n")
        self.stdout.write(secret)

    def _list(self, options: dict[str, Any]) -> None:
        tokens = list(list_tokens())
        if options["as_json"]:
            self.stdout.write(json.dumps([_plain(token) for token in tokens]))
            return
        self.stdout.write(f"{'ID':>5}  {'STATE':8} {'USER':16} {'NAME':24} {'SCOPES':28} {'EXPIRES':20} LAST USED")
        for token in tokens:
            plain = _plain(token)
            self.stdout.write(
                f"{token.pk:>5}  {plain['state']:8} {plain['user']:16} {token.name:24} "
                f"{','.join(token.scopes):28} {(plain['expires_at'] or 'never')[:19]:20} "
                f"{(plain['last_used_at'] or 'never')[:19]}"
            )

    def _revoke(self, options: dict[str, Any]) -> None:
        token = revoke_token(token_id=options["id"], actor=_operator())
        self.stdout.write(f"Token {token.pk} '{token.name}' is revoked.")


def parse_period(text: str) -> timedelta | None:
    """Return the period that a text like '30d' names; None for ''.

    Raises: InvalidInputError naming the units.
    """
    if not text:
        return None
    match = re.fullmatch(r"(\d{1,5})([mhdw])", text.strip())
    if match is None or int(match[1]) < 1:
        raise InvalidInputError(f"a period is a number from 1 and m, h, d or w, not '{text}'")
    return timedelta(**{_UNITS[match[2]]: int(match[1])})


def _plain(token: Token) -> dict[str, Any]:
    return {
        "id": token.pk,
        "name": token.name,
        "user": token.user.get_username(),
        "scopes": token.scopes,
        "state": token.state,
        "begins_with": token.token_key,
        "created_at": token.created.isoformat(),
        "expires_at": token.expiry.isoformat() if token.expiry else None,
        "last_used_at": token.last_used_at.isoformat() if token.last_used_at else None,
    }


def _operator() -> str:
    try:
        return f"shell:{getpass.getuser()}"
    except (KeyError, OSError):  # a container's user may have no name
        return "shell"

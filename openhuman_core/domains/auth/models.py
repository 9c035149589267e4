"""Sessions and credentials: what goes in, and the shapes of what comes back."""

from __future__ import annotations

import re
from typing import Annotated, Any

from pydantic import AfterValidator, Field
from pydantic_core import PydanticCustomError
from typing_extensions import TypedDict

from openhuman_core.backend.store import KINDS
from openhuman_core.registry.params import (
    WHOLE_OWN_CHECK,
    HeaderSecret,
    JsonObject,
    OptionalText,
    Params,
    Secret,
    own_check,
    trim,
)


def _kind(text: str, default: str, known: tuple[str, ...]) -> str:
    kind = trim(text) or default
    if kind not in known:
        raise PydanticCustomError(WHOLE_OWN_CHECK, "{text}", {"text": f'unknown credential kind "{text}"'})
    return kind


def is_usable_id(user_id: str) -> bool:
    """Tell whether an id can name a file or a segment of a path: no separator, not `.` or `..`, 128 characters."""
    return user_id.isprintable() and not re.search(r"[/\\]|^\.\.?$|.{129}", user_id)


def _usable(user_id: str | None) -> str | None:
    if user_id is not None and not is_usable_id(user_id):
        raise own_check("is not a valid id")
    return user_id


UserId = Annotated[OptionalText, AfterValidator(_usable)]


class StoreSessionParams(Params):
    """The token, and what its owner is said to be; these two methods alone take a second spelling of a name."""

    token: HeaderSecret = Field(description="The session token.")
    user_id: UserId = Field(None, description="Id of the user, where the profile has none.")
    user_id_too: UserId = Field(None, alias="user_id", description="The same as userId.")
    user: JsonObject | None = Field(None, description="What is known of the user.")


class SetCredentialParams(StoreSessionParams):
    kind: Annotated[str, AfterValidator(lambda text: _kind(text, "session", KINDS))] = Field(
        "session", description="session or api-key."
    )


class ClearCredentialParams(Params):
    kind: Annotated[str, AfterValidator(lambda text: _kind(text, "all", ("all", *KINDS)))] = Field(
        "all", description="session, api-key or all."
    )


class LoginTokenParams(Params):
    login_token: Secret = Field(description="The single-use token of a login link.")


class ProfileSummary(TypedDict):
    id: str
    provider: str
    profileName: str
    kind: str
    accountId: str | None
    workspaceId: str | None
    metadataKeys: list[str]
    updatedAt: str
    hasToken: bool
    hasTokenSet: bool


class State(TypedDict):
    isAuthenticated: bool
    userId: str | None
    user: dict[str, Any] | None
    profileId: str | None
    credential: str | None
    expiresAt: str | None


class Removed(TypedDict):
    removed: bool


class RemovedKinds(TypedDict):
    removed: list[str]


class SessionToken(TypedDict):
    token: str | None


class JwtToken(TypedDict):
    jwtToken: str

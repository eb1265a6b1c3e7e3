"""Questions in the shape of objects: TokenRequest, TokenReview and the access reviews.

Invariant: nothing here is stored.
"""

from __future__ import annotations

from vso.sandbox.identities import ISSUER, Identities, TokenError
from vso.sandbox.objects import JsonObject, dig, meta
from vso.sandbox.rbac import Access, Authorizer, PathAccess, User
from vso.sandbox.resources import ACCESS_REVIEWS, SELF_ACCESS_REVIEWS, SELF_REVIEWS, TOKEN_REQUESTS, Resource
from vso.sandbox.status import FieldError, invalid


class Reviews:
    """Answers them."""

    def __init__(self, identities: Identities, authorizer: Authorizer) -> None:
        self._identities = identities
        self._authorizer = authorizer

    def token_request(self, account: JsonObject, body: JsonObject) -> JsonObject:
        """Return a fresh token of the ServiceAccount."""
        spec = body.get("spec") or {}
        audiences, seconds = spec.get("audiences") or [ISSUER], spec.get("expirationSeconds") or 3600
        if seconds < 600:
            text = f"Invalid value: {seconds}: may not specify a duration less than 10 minutes"
            raise invalid(TOKEN_REQUESTS, "", [FieldError("spec.expirationSeconds", text)])
        token, expires = self._identities.mint(account, audiences, seconds)
        return {
            "kind": "TokenRequest",
            "apiVersion": "authentication.k8s.io/v1",
            "metadata": {"name": meta(account)["name"], "namespace": meta(account)["namespace"]},
            "spec": {"audiences": audiences, "expirationSeconds": seconds, "boundObjectRef": None},
            "status": {"token": token, "expirationTimestamp": expires},
        }

    def answer(self, resource: Resource, body: JsonObject, user: User) -> JsonObject:
        """Return the review with its status."""
        if resource is SELF_REVIEWS:
            status: JsonObject = {"userInfo": _user_info(user)}
        elif resource is SELF_ACCESS_REVIEWS:
            status = self._access(user, body)
        elif resource is ACCESS_REVIEWS:
            spec = body.get("spec") or {}
            status = self._access(User(spec.get("user", ""), tuple(spec.get("groups") or ())), body)
        else:
            status = self.token_review(dig(body, "spec", "token") or "", dig(body, "spec", "audiences") or [ISSUER])
        frame = {"kind": resource.kind, "apiVersion": resource.api_version, "metadata": {}}
        return frame | {"spec": body.get("spec", {}), "status": status}

    def token_review(self, token: str, audiences: list[str]) -> JsonObject:
        """Return the status of a TokenReview."""
        try:
            found = self._identities.verify(token, audiences)
        except TokenError as error:
            return {"user": {}, "error": str(error)}
        return {"authenticated": True, "user": _user_info(found.user), "audiences": list(found.audiences)}

    def _access(self, user: User, body: JsonObject) -> JsonObject:
        path = dig(body, "spec", "nonResourceAttributes")
        if path is not None:
            return {"allowed": self._authorizer.allowed_path(user, PathAccess(path["verb"], path["path"]))}
        asked = dig(body, "spec", "resourceAttributes")
        if asked is None:
            text = "Invalid value: null: exactly one of nonResourceAttributes or resourceAttributes must be specified"
            raise invalid(ACCESS_REVIEWS, "", [FieldError("spec.resourceAttributes", text)])
        keys = ("verb", "group", "resource", "subresource", "namespace", "name")
        return {"allowed": self._authorizer.allowed(user, Access(*(asked.get(key, "") for key in keys)))}


def _user_info(user: User) -> JsonObject:
    return {"username": user.name, "groups": list(user.groups)} | ({"uid": user.uid} if user.uid else {})

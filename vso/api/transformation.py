"""Templates and filters that several secrets share: SecretTransformation.

Invariant: it holds text only; nothing is parsed or run here.
"""

from __future__ import annotations

from pydantic import Field

from vso.api.fields import FrozenMap, Strings
from vso.api.meta import ApiModel, Referred, Resource
from vso.api.shared import Delimiter, NamedTemplate, NamedTemplates


class SecretTransformationSpec(ApiModel):
    """Templates and filters for others to refer to."""

    templates: NamedTemplates = FrozenMap()
    """Templates by the key of the Secret that each makes."""
    source_templates: tuple[NamedTemplate, ...] = ()
    """Templates that make no key, for others to call."""
    includes: Strings = ()
    """Regular expressions (RE2): a field of Vault goes in only if one of them matches its name."""
    excludes: Strings = ()
    """Regular expressions (RE2): a field of Vault stays out if one matches its name; stronger than includes."""
    allowed_namespaces: Strings | None = None
    """Namespaces whose objects may refer to this one; every namespace when not given, all of them with "*"."""
    left_delim: Delimiter = ""
    """What opens an action in the templates; two braces when empty."""
    right_delim: Delimiter = ""
    """What closes an action in the templates; two braces when empty."""


class SecretTransformationStatus(Referred):
    """Whether the templates can be used."""

    ALWAYS = frozenset({"observedGeneration", "valid", "error"})

    valid: bool = False
    """Whether every template can be parsed."""
    error: str = ""
    """Why not."""


class SecretTransformation(Resource):
    """Templates and filters that several secrets share."""

    spec: SecretTransformationSpec = Field(default_factory=SecretTransformationSpec)
    """What is wanted."""
    status: SecretTransformationStatus = Field(default_factory=SecretTransformationStatus)
    """What the operator has found and done; written by the operator alone."""

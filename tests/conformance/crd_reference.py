"""One object per kind with every field of the reference operator."""

from __future__ import annotations

from tests.conformance.crd_cases import CSI, HCPA, HVSA, VA, VAG, VC, VDS, VPS, VSS, VST, Json
from vso.core.keys import Kind

TARGETS = [{"kind": "Deployment", "name": "web"}]
SYNC = {"vaultAuthRef": "ns/va", "namespace": "n", "mount": "m", "path": "p", "rolloutRestartTargets": TARGETS}
TOKEN: Json = {"role": "r", "serviceAccount": "s", "audiences": ["a"], "tokenExpirationSeconds": 900}
METHOD_BLOCKS: Json = {
    "kubernetes": TOKEN,
    "jwt": {**TOKEN, "secretRef": "s"},
    "appRole": {"roleId": "r", "secretIDPath": "/p", "secretRef": "s"},
    "aws": dict.fromkeys(
        [
            "role",
            "region",
            "headerValue",
            "sessionName",
            "stsEndpoint",
            "iamEndpoint",
            "secretRef",
            "irsaServiceAccount",
        ],
        "x",
    ),
    "gcp": dict.fromkeys(["role", "workloadIdentityServiceAccount", "region", "clusterName", "projectID"], "x"),
}
DEFAULTS: Json = {"namespace": "n", "mount": "m", "params": {"a": "b"}, "headers": {"a": "b"}}
FULL_DESTINATION: Json = {
    "name": "app",
    "create": True,
    "overwrite": True,
    "labels": {"a": "b"},
    "annotations": {"a": "b"},
    "type": "kubernetes.io/tls",
    "transformation": {
        "templates": {"a": {"name": "n", "text": "x"}, "b": {"text": ""}},
        "transformationRefs": [
            {
                "name": "t",
                "namespace": "n",
                "templateRefs": [{"name": "a", "keyOverride": "b"}],
                "ignoreIncludes": True,
                "ignoreExcludes": True,
            }
        ],
        "includes": ["^a"],
        "excludes": [".*"],
        "excludeRaw": True,
    },
}
REFERENCE: dict[Kind, Json] = {
    VC: {
        "address": "https://vault:8200",
        "headers": {"a": "b"},
        "tlsServerName": "vault",
        "caCertSecretRef": "ca",
        "caCertPath": "/ca",
        "skipTLSVerify": False,
        "timeout": "10s",
    },
    VA: {
        "vaultConnectionRef": "vc",
        "vaultAuthGlobalRef": {
            "name": "g",
            "namespace": "n",
            "allowDefault": True,
            "mergeStrategy": {"headers": "none", "params": "replace"},
        },
        "namespace": "n",
        "allowedNamespaces": ["*"],
        "method": "appRole",
        "mount": "m",
        "params": {"a": "b"},
        "headers": {"a": "b"},
        "storageEncryption": {"mount": "transit", "keyName": "k"},
        **METHOD_BLOCKS,
    },
    VAG: {
        "allowedNamespaces": ["a"],
        "vaultConnectionRef": "vc",
        "defaultVaultNamespace": "n",
        "defaultAuthMethod": "gcp",
        "defaultMount": "m",
        "params": {"a": "b"},
        "headers": {"a": "b"},
        **{name: block | DEFAULTS for name, block in METHOD_BLOCKS.items()},
    },
    VSS: {
        **SYNC,
        "type": "kv-v2",
        "version": 0,
        "refreshAfter": "30s",
        "hmacSecretData": False,
        "destination": FULL_DESTINATION,
        "syncConfig": {"instantUpdates": True},
    },
    VDS: {
        **SYNC,
        "requestHTTPMethod": "PUT",
        "params": {"a": "b"},
        "renewalPercent": 0,
        "revoke": False,
        "allowStaticCreds": True,
        "destination": FULL_DESTINATION,
        "refreshAfter": "1h",
        "syncConfig": {"instantUpdates": True},
    },
    VPS: {
        **{name: value for name, value in SYNC.items() if name != "path"},
        "role": "r",
        "revoke": True,
        "clear": True,
        "expiryOffset": "1.5h",
        "issuerRef": "i",
        "destination": FULL_DESTINATION,
        "commonName": "c",
        **{name: ["x"] for name in ("altNames", "ipSans", "uriSans", "otherSans", "userIDs")},
        "ttl": "30d",
        "format": "pem",
        "privateKeyFormat": "pkcs8",
        "excludeCNFromSans": True,
    },
    VST: {
        "templates": {"a": {"name": "n", "text": "x"}},
        "sourceTemplates": [{"name": "n", "text": "x"}, {"text": "y"}],
        "includes": ["a"],
        "excludes": ["b"],
    },
    HCPA: {
        "organizationID": "o",
        "projectID": "p",
        "allowedNamespaces": ["a"],
        "method": "servicePrincipal",
        "servicePrincipal": {"secretRef": "s"},
    },
    HVSA: {
        "appName": "a",
        "hcpAuthRef": "h",
        "refreshAfter": "1h",
        "rolloutRestartTargets": TARGETS,
        "destination": FULL_DESTINATION,
        "syncConfig": {"dynamic": {"renewalPercent": 50}},
    },
    CSI: {
        "namespace": "n",
        "accessControl": {
            "serviceAccountPattern": ".*",
            "namespacePatterns": ["a"],
            "podNamePatterns": ["a"],
            "podLabels": {"a": "b"},
            "matchPolicy": "any",
        },
        "secrets": {
            "transformation": {"excludeRaw": True},
            "vaultAppRoleSecretIDs": [
                {
                    "mount": "m",
                    "role": "r",
                    "metadata": {"a": "b"},
                    "cidrList": ["10.0.0.0/8"],
                    "tokenBoundCIDRs": ["10.0.0.0/8"],
                    "ttl": "1h",
                    "numUses": 1,
                    "wrapTTL": "1m",
                    "syncRoleID": True,
                    "transformation": {"excludeRaw": True},
                }
            ],
            "vaultStaticSecrets": [{"mount": "m", "path": "p", "type": "kv-v1", "version": 1, "transformation": {}}],
        },
        "syncConfig": {"containerState": {"namePattern": "a", "imagePattern": "b"}},
        "vaultAuthRef": {"name": "a", "namespace": "n", "trustNamespace": True},
    },
}

"""Objects as bytes, packed for the cache.

Deflate with a dictionary of what all our objects have in common: a synced object of 1.5 kB keeps
its own words alone, about a fifth, at some 20 µs to pack and 6 µs to unpack. Invariant: what is
unpacked is what was packed; packed bytes never leave the process, so the dictionary may change.
"""

from __future__ import annotations

import zlib

_WINDOW = -12
"""4 kB without a header: more would cost memory at each call and save nothing on objects of this size."""
_LEVEL = 3
_MEMORY = 5

# Deflate finds the end of its dictionary cheapest: what is most common comes last.
_COMMON = b"".join(
    (
        b'"annotations":{"reconcile.fluxcd.io/requestedAt":"vso.hashicorp.com/resync":"","labels":{"app.kubernetes.io/',
        b'managed-by":"name":""},"ownerReferences":[{"blockOwnerDeletion":true,"controller":true,"method":"kubernetes",',
        b'"kubernetes":{"audiences":["vault"],"role":"","serviceAccount":"default","tokenExpirationSeconds":600},',
        b'"vaultConnectionRef":"default","allowedNamespaces":["*"],"address":"https://vault.vault.svc:8200","skipTLSVerify"',
        b':false,"data":[{"remoteRef":{"key":"","property":""},"secretKey":""}],"labels":{"transformation":{"excludeRaw":',
        b'true,"excludes":[".*"],"templates":{"text":"{{- get .Secrets \\"password\\" -}}"}}},"rolloutRestartTargets":',
        b'[{"kind":"Deployment","name":""}],"RolloutRestart","reason":"RolloutRestartTriggered","restart":"Triggered",',
        b'"reason":"SourceChanged","type":"Stalled","type":"Reconciling",{"apiVersion":"secrets.hashicorp.com/v1beta1",',
        b'"kind":"VaultStaticSecret","metadata":{"creationTimestamp":"2026-01-01T00:00:00Z","generation":1,"name":"",',
        b'"namespace":"","resourceVersion":"1","uid":""},"spec":{"destination":{"create":true,"name":"","overwrite":false',
        b'},"hmacSecretData":true,"mount":"kv","path":"","refreshAfter":"60s","type":"kv-v2","vaultAuthRef":""},"status":',
        b'{"conditions":[{"lastTransitionTime":"2026-01-01T00:00:00Z","message":"the Secret holds what Vault holds",',
        b'"observedGeneration":1,"reason":"Healthy","status":"True","type":"Healthy"},{"reason":"Ready","status":"True",',
        b'"type":"Ready"},{"reason":"Synced","status":"True","type":"SecretSynced"}],"destination":{"name":"",',
        b'"resourceVersion":"","uid":""},"history":[{"reason":"FirstSync","time":"2026-01-01T00:00:00Z","version":"1"}],',
        b'"lastGeneration":1,"lastSyncTime":"2026-01-01T00:00:00Z","observedGeneration":1,"rolledOutDigest":"=",',
        b'"secretMAC":"=","sourceVersion":"1","vaultClientMeta":{"cacheKey":"kubernetes-","id":""}}}',
    )
)


def pack(body: bytes) -> bytes:
    """Return the body in fewer bytes; nothing stays nothing."""
    if not body:
        return b""
    packer = zlib.compressobj(_LEVEL, zlib.DEFLATED, _WINDOW, _MEMORY, zlib.Z_DEFAULT_STRATEGY, _COMMON)
    return packer.compress(body) + packer.flush()


def unpack(packed: bytes) -> bytes:
    """Return the body that was packed."""
    return zlib.decompressobj(_WINDOW, _COMMON).decompress(packed) if packed else b""

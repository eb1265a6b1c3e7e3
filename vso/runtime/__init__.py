"""A small controller runtime, generic over hashable keys; it knows no kind of Kubernetes or Vault.

Watch events become records in a store, records become keys in a queue, keys become passes of a
reconciler, and the outcome of a pass becomes the queue's next wish.
"""

# Everything that the example needs in Vault: one capability on one path.
path "kv/data/app/config" {
  capabilities = ["read"]
}

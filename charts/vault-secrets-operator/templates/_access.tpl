{{/*
The labels of an object of the chart's that the operator has to look after: dict "root" $, optional "labels". It gets the
operator's class, and what the selector wants by an equality; vso.leftOut says what leaves it out after all.
*/}}
{{- define "vso.lookedAfter" -}}
{{- $operator := .root.Values.operator -}}
{{- $class := "vso.hashicorp.com/operator-class" -}}
{{- $said := include "vso.labels" .root | fromYaml -}}
{{- $labels := merge (dict) (.labels | default dict) -}}
{{- if and $operator.class (not (hasKey $said $class)) -}}
{{- $_ := set $labels $class $operator.class -}}
{{- end -}}
{{- range include "vso.requirements" .root | fromJsonArray -}}
{{- if and (eq .verb "in") (eq (len .values) 1) (not (hasKey $said .key)) (not (hasKey $labels .key)) -}}
{{- $_ := set $labels .key (first .values) -}}
{{- end -}}
{{- end -}}
{{- toJson $labels -}}
{{- end }}

{{/* Why the operator does not look after an object with these labels, as a JSON list of texts: dict "root" $, optional "labels". */}}
{{- define "vso.leftOut" -}}
{{- $operator := .root.Values.operator -}}
{{- $class := "vso.hashicorp.com/operator-class" -}}
{{- $all := merge (dict) (include "vso.lookedAfter" . | fromJson) (include "vso.labels" .root | fromYaml) -}}
{{- $found := list -}}
{{- if ne (get $all $class) $operator.class -}}
{{- $found = append $found (printf "commonLabels: %s=%s leaves what the chart makes for the operator to another one; operator.class says %q" $class (get $all $class) $operator.class) -}}
{{- end -}}
{{- range include "vso.requirements" .root | fromJsonArray -}}
{{- $there := hasKey $all .key -}}
{{- $held := and $there (or (empty .values) (has (get $all .key) .values)) -}}
{{- if eq (eq .verb "in") (not $held) -}}
{{- $found = append $found (printf "operator.watchLabelSelector: %q leaves out what the chart makes for the operator (defaultVaultConnection, defaultAuthMethod, storageEncryption): give commonLabels that it takes" .text) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end }}

{{/*
What an install is refused for, as a JSON list of texts. An upgrade goes on with it and is told so: the release may have
had it from a chart that let it pass.
*/}}
{{- define "vso.mistakes" -}}
{{- $login := .Values.defaultAuthMethod -}}
{{- $cache := .Values.controller.manager.clientCache -}}
{{- $found := list -}}
{{- if or .Values.defaultVaultConnection.enabled $login.enabled -}}
{{- $found = include "vso.leftOut" (dict "root" .) | fromJsonArray -}}
{{- end -}}
{{- if $login.enabled -}}
{{- $found = append $found (include "vso.emptyLogin" (dict "login" $login "path" "defaultAuthMethod" "block" (include "vso.defaultBlock" . | fromJson))) -}}
{{- end -}}
{{- if eq $cache.persistenceModel "direct-encrypted" -}}
{{- $found = concat $found (include "vso.leftOut" (dict "root" . "labels" (dict "cacheStorageEncryption" "true")) | fromJsonArray) -}}
{{- $found = append $found (include "vso.emptyLogin" (dict "login" $cache.storageEncryption "path" "controller.manager.clientCache.storageEncryption" "block" (include "vso.storageBlock" . | fromJson))) -}}
{{- end -}}
{{- compact $found | uniq | toJson -}}
{{- end }}

{{/* Why nobody can log in by this, where the values say too little: dict "login" (its values), "path" (where they are), "block". */}}
{{- define "vso.emptyLogin" -}}
{{- $method := include "vso.method" .login -}}
{{- $elsewhere := and (hasKey .login "vaultAuthGlobalRef") .login.vaultAuthGlobalRef.enabled -}}
{{- if $elsewhere -}}
{{- else if not $method -}}
{{- printf "%s.method: only a VaultAuthGlobal (vaultAuthGlobalRef) can say it instead" .path -}}
{{- else if not (or .block (has $method (list "cert" "generic"))) -}}
{{- printf "%s.%s: the method %s takes what stands there, and nothing does" .path $method .login.method -}}
{{- end -}}
{{- end }}

{{/* The requirements of operator.watchLabelSelector, as a JSON list of {text, key, verb: in or notin, values: none for any}. */}}
{{- define "vso.requirements" -}}
{{- $found := list -}}
{{- range regexFindAll "[^,(]+(\\([^)]*\\))?" .Values.operator.watchLabelSelector -1 -}}
{{- $text := trim . -}}
{{- $key := regexFind "[^!=\\s(]+" $text -}}
{{- $values := list -}}
{{- if regexMatch "\\)$" $text -}}
{{- range splitList "," (regexFind "\\([^)]*\\)" $text | trimAll "()") -}}
{{- $values = append $values (trim .) -}}
{{- end -}}
{{- else if contains "=" $text -}}
{{- $values = list (regexReplaceAll "^[^=]*==?" $text "" | trim) -}}
{{- end -}}
{{- $verb := or (hasPrefix "!" $text) (contains "!=" $text) (regexMatch "^\\S+\\s+notin\\s*\\(" $text) | ternary "notin" "in" -}}
{{- if $text -}}
{{- $found = append $found (dict "text" $text "key" $key "verb" $verb "values" $values) -}}
{{- end -}}
{{- end -}}
{{- toJson $found -}}
{{- end }}

{{/* The method of a login as a VaultAuth's block spells it. */}}
{{- define "vso.method" -}}
{{- eq .method "approle" | ternary "appRole" .method -}}
{{- end }}

{{/*
The block of a login as a VaultAuth spells it, as JSON, without what is empty and with audiences: dict "login" (its
values), optional "start" (what is there before). Without a method there is none.
*/}}
{{- define "vso.loginBlock" -}}
{{- $method := include "vso.method" .login -}}
{{- $block := .start | default dict -}}
{{- range $key, $value := get .login $method | default dict -}}
{{- if or $value (kindIs "bool" $value) -}}
{{- $_ := set $block (eq $key "tokenAudiences" | ternary "audiences" $key) $value -}}
{{- end -}}
{{- end -}}
{{- toJson $block -}}
{{- end }}

{{/* That of the default VaultAuth. */}}
{{- define "vso.defaultBlock" -}}
{{- $login := .Values.defaultAuthMethod -}}
{{- $block := include "vso.loginBlock" (dict "login" $login) | fromJson -}}
{{- if and (eq $login.method "jwt") $login.jwt.secretRef (eq ($login.jwt.serviceAccount | default "") "default") -}}
{{- /* Nobody asked for that ServiceAccount, and one would win over the Secret. */ -}}
{{- $block = omit $block "serviceAccount" -}}
{{- end -}}
{{- toJson $block -}}
{{- end }}

{{/* That of the login with which kept tokens are encrypted. */}}
{{- define "vso.storageBlock" -}}
{{- $login := .Values.controller.manager.clientCache.storageEncryption -}}
{{- $start := dict -}}
{{- if and (eq $login.method "kubernetes") (not $login.kubernetes.serviceAccount) -}}
{{- $_ := set $start "serviceAccount" (include "vso.serviceAccountName" .) -}}
{{- end -}}
{{- include "vso.loginBlock" (dict "login" $login "start" $start) -}}
{{- end }}

{{/* What the two VaultAuths of the chart have in common: dict "login" (its values), "block" (that of its method). */}}
{{- define "vso.login" -}}
{{- $method := include "vso.method" .login -}}
{{- with .login.namespace }}
namespace: {{ . }}
{{- end }}
{{- with $method }}
method: {{ . }}
{{- end }}
{{- with .login.mount }}
mount: {{ . }}
{{- end }}
{{- with .block }}
{{ $method }}:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .login.params }}
params:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .login.headers }}
headers:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end }}

{{/*
What a login by this block takes of the namespace of whoever logs in, as JSON for vso.rules.credentials, with tokens beside:
the ServiceAccounts to request one of. A ServiceAccount is read where its annotations say whom it is in a cloud. Where a
block names two sources it takes no more than the one that the operator takes: for aws the Secret, for a token the file,
for jwt the ServiceAccount.
*/}}
{{- define "vso.refersTo" -}}
{{- $block := .block -}}
{{- $secrets := list -}}
{{- $tokens := list -}}
{{- $read := list -}}
{{- if not (and (eq .method "aws") $block.secretRef) -}}
{{- with index $block "serviceAccount" | default (index $block "irsaServiceAccount") | default (index $block "workloadIdentityServiceAccount") -}}
{{- $tokens = list . -}}
{{- end -}}
{{- end -}}
{{- if eq .method "aws" -}}
{{- $read = $block.roleARN | empty | ternary $tokens list -}}
{{- else if eq .method "gcp" -}}
{{- $read = $block.serviceAccountEmail | empty | ternary $tokens list -}}
{{- else if eq .method "azure" -}}
{{- $read = and $block.clientID $block.tenantID | empty | ternary $tokens list -}}
{{- end -}}
{{- $file := and (eq .method "token") $block.path -}}
{{- if and $block.secretRef (not (or $file (and (eq .method "jwt") $tokens))) -}}
{{- $secrets = list $block.secretRef -}}
{{- end -}}
{{- range $block.bodyFrom -}}
{{- $secrets = append $secrets .secretRef -}}
{{- end -}}
{{- dict "secrets" (uniq $secrets) "serviceAccounts" $read "tokens" $tokens | toJson -}}
{{- end }}

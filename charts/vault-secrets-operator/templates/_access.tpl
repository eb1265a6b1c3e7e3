{{/*
The labels of an object of the chart's that the operator has to look after: dict "root" $, optional "labels". It gets the
operator's class, and what the selector wants by an equality; what the selector leaves out after all is refused.
*/}}
{{- define "vso.lookedAfter" -}}
{{- $operator := .root.Values.operator -}}
{{- $class := "vso.hashicorp.com/operator-class" -}}
{{- $said := include "vso.labels" .root | fromYaml -}}
{{- $labels := merge (dict) (.labels | default dict) -}}
{{- if and $operator.class (not (hasKey $said $class)) -}}
{{- $_ := set $labels $class $operator.class -}}
{{- end -}}
{{- $wanted := include "vso.requirements" .root | fromJsonArray -}}
{{- range $wanted -}}
{{- if and (eq .verb "in") (eq (len .values) 1) (not (hasKey $said .key)) (not (hasKey $labels .key)) -}}
{{- $_ := set $labels .key (first .values) -}}
{{- end -}}
{{- end -}}
{{- $all := merge (dict) $labels $said -}}
{{- if ne (get $all $class) $operator.class -}}
{{- fail (printf "commonLabels: %s=%s leaves what the chart makes for the operator to another one; operator.class says %q" $class (get $all $class) $operator.class) -}}
{{- end -}}
{{- range $wanted -}}
{{- $there := hasKey $all .key -}}
{{- $held := and $there (or (empty .values) (has (get $all .key) .values)) -}}
{{- if eq (eq .verb "in") (not $held) -}}
{{- fail (printf "operator.watchLabelSelector: %q leaves out what the chart makes for the operator (defaultVaultConnection, defaultAuthMethod, storageEncryption): give commonLabels that it takes" .text) -}}
{{- end -}}
{{- end -}}
{{- toJson $labels -}}
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
values), "path" (where they are), optional "start" (what is there before).
*/}}
{{- define "vso.loginBlock" -}}
{{- $method := include "vso.method" .login -}}
{{- $block := .start | default dict -}}
{{- range $key, $value := get .login $method -}}
{{- if or $value (kindIs "bool" $value) -}}
{{- $_ := set $block (eq $key "tokenAudiences" | ternary "audiences" $key) $value -}}
{{- end -}}
{{- end -}}
{{- $elsewhere := and (hasKey .login "vaultAuthGlobalRef") .login.vaultAuthGlobalRef.enabled -}}
{{- if not (or $block $elsewhere (has $method (list "cert" "generic"))) -}}
{{- fail (printf "%s.%s: the method %s takes what stands there, and nothing does" .path $method .login.method) -}}
{{- end -}}
{{- toJson $block -}}
{{- end }}

{{/* That of the default VaultAuth. */}}
{{- define "vso.defaultBlock" -}}
{{- $login := .Values.defaultAuthMethod -}}
{{- $block := include "vso.loginBlock" (dict "login" $login "path" "defaultAuthMethod") | fromJson -}}
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
{{- include "vso.loginBlock" (dict "login" $login "path" "controller.manager.clientCache.storageEncryption" "start" $start) -}}
{{- end }}

{{/* What the two VaultAuths of the chart have in common: dict "login" (its values), "block" (that of its method). */}}
{{- define "vso.login" -}}
{{- $method := include "vso.method" .login -}}
{{- with .login.namespace }}
namespace: {{ . }}
{{- end }}
method: {{ $method }}
mount: {{ .login.mount }}
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
the ServiceAccounts to request one of. A ServiceAccount is read where its annotations say whom it is in a cloud.
*/}}
{{- define "vso.refersTo" -}}
{{- $block := .block -}}
{{- $secrets := list -}}
{{- $tokens := list -}}
{{- $read := list -}}
{{- with index $block "serviceAccount" | default (index $block "irsaServiceAccount") | default (index $block "workloadIdentityServiceAccount") -}}
{{- $tokens = list . -}}
{{- end -}}
{{- if eq .method "aws" -}}
{{- $read = $block.roleARN | empty | ternary $tokens list -}}
{{- else if eq .method "gcp" -}}
{{- $read = $block.serviceAccountEmail | empty | ternary $tokens list -}}
{{- else if eq .method "azure" -}}
{{- $read = and $block.clientID $block.tenantID | empty | ternary $tokens list -}}
{{- end -}}
{{- if and $block.secretRef (not (and (eq .method "jwt") $tokens)) -}}
{{- $secrets = list $block.secretRef -}}
{{- end -}}
{{- range $block.bodyFrom -}}
{{- $secrets = append $secrets .secretRef -}}
{{- end -}}
{{- dict "secrets" (uniq $secrets) "serviceAccounts" $read "tokens" $tokens | toJson -}}
{{- end }}

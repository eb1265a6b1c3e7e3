{{/*
The first line of every template: sets what values.yaml says wherever there is no value. `helm upgrade --reuse-values`
takes the defaults of the chart that was installed before, which knows nothing of keys that came later.
*/}}
{{- define "vso.fill" -}}
{{- range $path, $default := include "vso.defaults" . | fromJson -}}
{{- $here := $.Values -}}
{{- $parts := splitList "." $path -}}
{{- range initial $parts -}}
{{- if not (hasKey $here .) -}}
{{- $_ := set $here . dict -}}
{{- end -}}
{{- $here = get $here . -}}
{{- end -}}
{{- if not (hasKey $here (last $parts)) -}}
{{- $_ := set $here (last $parts) $default -}}
{{- end -}}
{{- end -}}
{{- end }}

{{/* The name of the operator's objects: the same whatever the release is called. */}}
{{- define "vso.name" -}}
{{- .Values.fullnameOverride | default .Values.nameOverride | default "vault-secrets-operator" | trunc 63 | trimSuffix "-" -}}
{{- end }}

{{- define "vso.namespace" -}}
{{- .Values.namespaceOverride | default .Release.Namespace -}}
{{- end }}

{{/* The name of an object that others may have too: in the cluster, or in a namespace of somebody else. */}}
{{- define "vso.clusterName" -}}
{{- printf "%s-%s" (include "vso.name" .) (include "vso.namespace" .) -}}
{{- end }}

{{- define "vso.serviceAccountName" -}}
{{- .Values.serviceAccount.name | default (include "vso.name" .) -}}
{{- end }}

{{/* What a selector takes the operator's pods by; those of the hooks do not have it. */}}
{{- define "vso.selector" -}}
app.kubernetes.io/name: vault-secrets-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/component: controller
{{- end }}

{{- define "vso.labels" -}}
app.kubernetes.io/name: vault-secrets-operator
app.kubernetes.io/instance: {{ .Release.Name }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- with .Values.commonLabels }}
{{ toYaml . }}
{{- end }}
{{- end }}

{{/* metadata of an object: dict "root" $, "name", optional "namespace", "labels", "annotations". */}}
{{- define "vso.metadata" -}}
{{- $annotations := merge (dict) (.annotations | default dict) (.root.Values.commonAnnotations | default dict) -}}
metadata:
  name: {{ .name }}
  {{- with .namespace }}
  namespace: {{ . }}
  {{- end }}
  labels:
    {{- include "vso.labels" .root | nindent 4 }}
    {{- with .labels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with $annotations }}
  annotations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end }}

{{/* The name of an object that may be put into another namespace: dict "root" $, "namespace" (empty: the operator's), "suffix". */}}
{{- define "vso.placedName" -}}
{{- $own := include "vso.namespace" .root -}}
{{- $name := ne (.namespace | default $own) $own | ternary "vso.clusterName" "vso.name" -}}
{{- printf "%s%s" (include $name .root) (.suffix | default "") -}}
{{- end }}

{{/* A role with its binding to a ServiceAccount: dict "root" $, "kind", "name", "namespace", "rules", "account", "annotations". */}}
{{- define "vso.role" -}}
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}
{{ include "vso.metadata" . }}
rules:
  {{- .rules | nindent 2 }}
---
apiVersion: rbac.authorization.k8s.io/v1
kind: {{ .kind }}Binding
{{ include "vso.metadata" . }}
roleRef:
  apiGroup: rbac.authorization.k8s.io
  kind: {{ .kind }}
  name: {{ .name }}
subjects:
  - kind: ServiceAccount
    name: {{ .account | default (include "vso.serviceAccountName" .root) }}
    namespace: {{ include "vso.namespace" .root }}
{{- end }}

{{- define "vso.image" -}}
{{- $image := .Values.controller.manager.image -}}
{{- with .Values.global.repository }}{{ trimSuffix "/" . }}/{{ end -}}
{{- if $image.digest -}}
{{ $image.repository }}@{{ $image.digest }}
{{- else -}}
{{ $image.repository }}:{{ $image.tag | default .Chart.AppVersion }}
{{- end -}}
{{- end }}

{{/* The namespaces to work in, as a JSON list: those that are named, and the operator's own where defaults live in it. */}}
{{- define "vso.watched" -}}
{{- $watched := .Values.rbac.namespaces -}}
{{- if and $watched (or .Values.defaultVaultConnection.enabled .Values.defaultAuthMethod.enabled (eq .Values.controller.manager.clientCache.persistenceModel "direct-encrypted")) -}}
{{- $watched = append $watched (include "vso.namespace" .) -}}
{{- end -}}
{{- $watched | uniq | toJson -}}
{{- end }}

{{/* The flags that say which objects are this operator's, of the operator and of the hook that follows it alike. */}}
{{- define "vso.scopeFlags" -}}
{{- with include "vso.watched" . | fromJsonArray }}
- --watch-namespaces={{ join "," . }}
{{- end }}
{{- with .Values.operator.class }}
- --operator-class={{ . }}
{{- end }}
{{- with .Values.operator.watchLabelSelector }}
- {{ printf "--watch-label-selector=%s" . | quote }}
{{- end }}
{{- end }}

{{/* What says where a pod may run, of the operator's pods and of the hooks' alike. */}}
{{- define "vso.placement" -}}
{{- with .Values.controller.imagePullSecrets | default .Values.global.imagePullSecrets }}
imagePullSecrets:
  {{- range . }}
  - {{ kindIs "string" . | ternary (dict "name" .) . | toJson }}
  {{- end }}
{{- end }}
{{- with .Values.controller.priorityClassName }}
priorityClassName: {{ . }}
{{- end }}
{{- with .Values.controller.schedulerName }}
schedulerName: {{ . }}
{{- end }}
{{- with .Values.controller.runtimeClassName }}
runtimeClassName: {{ . }}
{{- end }}
{{- with .Values.controller.hostAliases | default .Values.global.hostAliases }}
hostAliases:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.controller.dnsPolicy }}
dnsPolicy: {{ . }}
{{- end }}
{{- with .Values.controller.dnsConfig }}
dnsConfig:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.controller.nodeSelector | default .Values.global.nodeSelector }}
nodeSelector:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.controller.tolerations | default .Values.global.tolerations }}
tolerations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- with .Values.controller.affinity | default .Values.global.affinity }}
affinity:
  {{- toYaml . | nindent 2 }}
{{- end }}
securityContext:
  {{- include "vso.securityContext" (dict "root" . "context" .Values.controller.podSecurityContext) | nindent 2 }}
{{- end }}

{{/* A security context as this cluster takes it: dict "root" $, "context". OpenShift gives users and groups by itself. */}}
{{- define "vso.securityContext" -}}
{{- $adapt := .root.Values.compatibility.openshift.adaptSecurityContext -}}
{{- if or (eq $adapt "force") (and (eq $adapt "auto") (.root.Capabilities.APIVersions.Has "security.openshift.io/v1")) -}}
{{- toYaml (omit .context "runAsUser" "runAsGroup" "fsGroup" "supplementalGroups") -}}
{{- else -}}
{{- toYaml .context -}}
{{- end -}}
{{- end }}

{{/* The sources of the volume with the files for TLS to Vault, none where nothing is named. */}}
{{- define "vso.tlsSources" -}}
{{- $tls := .Values.vault.tls -}}
{{- if and $tls.caConfigMap $tls.caSecret -}}
{{- fail "vault.tls: give caConfigMap or caSecret, not both" -}}
{{- end -}}
{{- with $tls.caConfigMap }}
- configMap:
    name: {{ . }}
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- with $tls.caSecret }}
- secret:
    name: {{ . }}
    items: [{key: ca.crt, path: ca.crt}]
{{- end }}
{{- with $tls.clientCertSecret }}
- secret:
    name: {{ . }}
    items: [{key: tls.crt, path: tls.crt}, {key: tls.key, path: tls.key}]
{{- end }}
{{- end }}

{{/* Whether a hook brings the CRDs up to date, as a text that is empty where none does. */}}
{{- define "vso.crdHook" -}}
{{- if and .Values.hooks.upgradeCRDs.enabled .Values.rbac.create (not .Values.rbac.namespaces) }}yes{{ end -}}
{{- end }}

{{/* The seconds of a duration such as 30s or 1h30m, rounded up. */}}
{{- define "vso.seconds" -}}
{{- $units := dict "ms" 0.001 "s" 1.0 "m" 60.0 "h" 3600.0 "d" 86400.0 -}}
{{- $sum := 0.0 -}}
{{- range regexFindAll "[0-9.]+(ms|s|m|h|d)" . -1 -}}
{{- $unit := regexFind "[a-z]+" . -}}
{{- $sum = addf $sum (mulf (trimSuffix $unit . | float64) (get $units $unit)) -}}
{{- end -}}
{{- ceil $sum | int -}}
{{- end }}

{{/* A hook's Job: dict "root" $, "name", "hook" (its annotations), "backoffLimit", "deadline", "account", "command", "args". */}}
{{- define "vso.job" -}}
apiVersion: batch/v1
kind: Job
{{ include "vso.metadata" (dict "root" .root "name" .name "namespace" (include "vso.namespace" .root) "annotations" .hook) }}
spec:
  backoffLimit: {{ .backoffLimit }}
  ttlSecondsAfterFinished: 3600
  {{- with .deadline }}
  activeDeadlineSeconds: {{ . }}
  {{- end }}
  template:
    metadata:
      labels:
        {{- include "vso.labels" .root | nindent 8 }}
    spec:
      serviceAccountName: {{ .account | default (include "vso.serviceAccountName" .root) }}
      automountServiceAccountToken: true
      restartPolicy: Never
      {{- include "vso.placement" .root | nindent 6 }}
      containers:
        - name: hook
          image: {{ include "vso.image" .root }}
          imagePullPolicy: {{ .root.Values.controller.manager.image.pullPolicy }}
          {{- with .command }}
          command: {{ toJson . }}
          {{- end }}
          args:
            {{- toYaml .args | nindent 12 }}
          env:
            - name: OPERATOR_NAMESPACE
              valueFrom:
                fieldRef:
                  fieldPath: metadata.namespace
          resources:
            {{- toYaml .root.Values.hooks.resources | nindent 12 }}
          securityContext:
            {{- include "vso.securityContext" (dict "root" .root "context" .root.Values.controller.securityContext) | nindent 12 }}
{{- end }}

{{- define "vso.metricsPort" -}}
{{- .Values.metrics.port | default (.Values.metrics.secure | ternary 8443 8080) -}}
{{- end }}

{{- define "vso.metricsFlags" -}}
- --metrics-bind-address={{ if .Values.metrics.enabled }}:{{ include "vso.metricsPort" . }}{{ else }}0{{ end }}
- --metrics-per-object={{ .Values.metrics.perObject }}
{{- if and .Values.metrics.enabled .Values.metrics.secure }}
- --metrics-secure
{{- with .Values.metrics.certDir | default (empty .Values.metrics.certSecret | ternary "" "/etc/vso/metrics-tls") }}
- --metrics-cert-dir={{ . }}
{{- end }}
{{- if .Values.metrics.auth }}
- --metrics-auth
{{- end }}
{{- end }}
{{- end }}

{{/* The volumes of the pod, as controller.manager.volumes has them: a JSON list. */}}
{{- define "vso.volumes" -}}
{{- $volumes := .Values.controller.manager.volumes -}}
{{- if and .Values.metrics.enabled .Values.metrics.secure .Values.metrics.certSecret (not .Values.metrics.certDir) -}}
{{- $volumes = append $volumes (dict "name" "metrics-tls" "secret" (dict "secretName" .Values.metrics.certSecret) "mountPath" "/etc/vso/metrics-tls" "readOnly" true) -}}
{{- end -}}
{{- toJson $volumes -}}
{{- end }}

{{- define "vso.metricsPorts" -}}
{{- .Values.metricsService.ports | default (list (dict "name" "metrics" "port" (include "vso.metricsPort" . | int))) | toJson -}}
{{- end }}

{{/* The port of the Service that is scraped, whether it is the operator's own, and over what: a JSON object. */}}
{{- define "vso.scrape" -}}
{{- $monitor := .Values.telemetry.serviceMonitor -}}
{{- $ports := include "vso.metricsPorts" . | fromJsonArray -}}
{{- $port := first $ports -}}
{{- range $ports -}}
{{- if eq .name $monitor.port -}}
{{- $port = . -}}
{{- end -}}
{{- end -}}
{{- $own := has (toString $port.targetPort) (list "" "https" "metrics" "<nil>") -}}
{{- $scheme := $own | ternary (.Values.metrics.secure | ternary "https" "http") ($monitor.scheme | default "http") -}}
{{- dict "port" $port.name "own" $own "scheme" $scheme | toJson -}}
{{- end }}

{{/* How a scrape over https verifies the operator. */}}
{{- define "vso.scrapeTLS" -}}
{{- if .Values.telemetry.serviceMonitor.tlsConfig -}}
{{- toYaml .Values.telemetry.serviceMonitor.tlsConfig -}}
{{- else if .Values.metrics.certSecret -}}
ca:
  secret:
    name: {{ .Values.metrics.certSecret }}
    key: ca.crt
serverName: {{ printf "%s-metrics.%s.svc" (include "vso.name" .) (include "vso.namespace" .) }}
{{- else -}}
insecureSkipVerify: true
{{- end -}}
{{- end }}

{{/* Whether there is a ServiceMonitor, as a text that is empty where there is none. */}}
{{- define "vso.monitored" -}}
{{- $monitor := .Values.telemetry.serviceMonitor -}}
{{- $known := .Capabilities.APIVersions.Has "monitoring.coreos.com/v1/ServiceMonitor" -}}
{{- if and $monitor.enabled (not $known) (eq $monitor.renderMode "failIfMissing") -}}
{{- fail "telemetry.serviceMonitor: the cluster knows no ServiceMonitor, and renderMode failIfMissing asks for one" -}}
{{- end -}}
{{- if and $monitor.enabled (or $known (ne $monitor.renderMode "skipIfMissing")) }}yes{{ end -}}
{{- end }}

{{/* Refuses what would not do what it says. */}}
{{- define "vso.checkMetrics" -}}
{{- if and .Values.metrics.auth (not .Values.metrics.secure) -}}
{{- fail "metrics.auth takes metrics.secure: a token must not go over plain HTTP" -}}
{{- end -}}
{{- if and .Values.metrics.auth .Values.rbac.create (include "vso.watched" . | fromJsonArray) -}}
{{- fail "metrics.auth takes a ClusterRole, since TokenReview is of the whole cluster, and an install for rbac.namespaces has none: leave it out, or have an administrator bind manifests/rbac/metrics-auth and add --metrics-auth to controller.manager.extraArgs" -}}
{{- end -}}
{{- end }}

{{- define "vso.metricsWarnings" -}}
{{- $monitor := .Values.telemetry.serviceMonitor -}}
{{- if and .Values.metrics.enabled $monitor.enabled -}}
{{- $scrape := include "vso.scrape" . | fromJson -}}
{{- if and $monitor.scheme (ne $monitor.scheme $scrape.scheme) }}
  WARNING: telemetry.serviceMonitor.scheme: metrics are served over {{ $scrape.scheme }}; metrics.secure says by which
{{- end }}
{{- if and $monitor.bearerTokenFile (ne $scrape.scheme "https") }}
  WARNING: telemetry.serviceMonitor.bearerTokenFile: metrics are served over plain HTTP, by which no token may go; metrics.auth asks for one
{{- end }}
{{- end -}}
{{- end }}

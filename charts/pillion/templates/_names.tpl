{{- define "pillion.fullname" -}}
{{- $name := default .Chart.Name .Values.nameOverride -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains $name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name $name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- /* Selectors cannot change: nothing that differs between two versions belongs here. */ -}}
{{- define "pillion.selectorLabels" -}}
app.kubernetes.io/name: {{ default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" }}
app.kubernetes.io/instance: {{ .Release.Name | quote }}
app.kubernetes.io/component: webhook
{{- end -}}

{{- define "pillion.labels" -}}
{{- $labels := dict
  "app.kubernetes.io/version" .Chart.AppVersion
  "app.kubernetes.io/part-of" "pillion"
  "app.kubernetes.io/managed-by" .Release.Service
  "helm.sh/chart" (printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" | trunc 63 | trimSuffix "-")
-}}
{{- toYaml (mergeOverwrite $labels .Values.commonLabels (include "pillion.selectorLabels" . | fromYaml)) -}}
{{- end -}}

{{- define "pillion.serviceAccountName" -}}
{{- default (ternary (include "pillion.fullname" .) "default" .Values.serviceAccount.create) .Values.serviceAccount.name -}}
{{- end -}}

{{- define "pillion.webhookConfigurationName" -}}
{{- .Values.webhook.namePrefix }}{{ include "pillion.fullname" . -}}
{{- end -}}

{{- /* The Secret with the certificate: made by Pillion, by cert-manager, or there already. */ -}}
{{- define "pillion.certsSecretName" -}}
{{- if eq .Values.certs.mode "existingSecret" -}}
{{- .Values.certs.existingSecret.name -}}
{{- else if eq .Values.certs.mode "certManager" -}}
{{- include "pillion.fullname" . }}-tls
{{- else -}}
{{- default (printf "%s-certs" (include "pillion.fullname" .)) .Values.certs.auto.secretName -}}
{{- end -}}
{{- end -}}

{{- define "pillion.serviceHost" -}}
{{- include "pillion.fullname" . }}.{{ .Release.Namespace }}.svc
{{- end -}}

{{- /* The host of webhook.url, without port and brackets; empty when there is none. */ -}}
{{- define "pillion.urlHost" -}}
{{- with .Values.webhook.url -}}
{{- (urlParse .).host | regexFind "^(\\[[^]]+\\]|[^:]+)" | trimPrefix "[" | trimSuffix "]" -}}
{{- end -}}
{{- end -}}

{{- define "pillion.image" -}}
{{- $image := .Values.image -}}
{{- with $image.registry }}{{ . }}/{{ end }}{{ $image.repository }}
{{- if $image.digest }}@{{ $image.digest }}{{ else }}:{{ default .Chart.AppVersion $image.tag }}{{ end -}}
{{- end -}}

{{- /* "true" when Pillion uses the API server. */ -}}
{{- define "pillion.needsToken" -}}
{{- if or .Values.watch.enabled (eq .Values.certs.mode "auto") }}true{{ end -}}
{{- end -}}

{{- define "pillion.minReplicas" -}}
{{- ternary .Values.autoscaling.minReplicas .Values.replicaCount .Values.autoscaling.enabled -}}
{{- end -}}

{{- define "pillion.monitored" -}}
{{- if or .Values.metrics.serviceMonitor.enabled .Values.metrics.podMonitor.enabled }}true{{ end -}}
{{- end -}}

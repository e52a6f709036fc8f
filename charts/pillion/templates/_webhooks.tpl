{{- define "pillion.webhookConfigurationMetadata" -}}
name: {{ include "pillion.webhookConfigurationName" . }}
labels:
  {{- include "pillion.labels" . | nindent 2 }}
{{- $annotations := deepCopy .Values.webhook.annotations }}
{{- if eq .Values.certs.mode "certManager" }}
{{- $certificate := printf "%s/%s" .Release.Namespace (include "pillion.fullname" .) }}
{{- $_ := set $annotations "cert-manager.io/inject-ca-from" $certificate }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* The webhook for pods, by which the API server counts its calls. */ -}}
{{- define "pillion.webhookName" -}}
pods.pillion.dev
{{- end -}}

{{- /* Where the API server calls. The caBundle is written at run time, by Pillion or cert-manager: rendering it too would
make them fight with whoever applies the chart. */ -}}
{{- define "pillion.clientConfig" -}}
{{- $root := .root -}}
{{- with $root.Values.webhook.url -}}
url: {{ trimSuffix "/" . }}{{ $.path }}
{{- else -}}
service: {name: {{ include "pillion.fullname" $root }}, namespace: {{ $root.Release.Namespace | quote }}, path: {{ .path }}, port: 443}
{{- end }}
{{- if eq $root.Values.certs.mode "existingSecret" }}
{{- with $root.Values.certs.existingSecret.caBundle }}
caBundle: {{ . }}
{{- end }}
{{- end }}
{{- end -}}

{{- define "pillion.namespaceSelector" -}}
{{- $selector := deepCopy .Values.webhook.namespaceSelector -}}
{{- $excluded := default list .Values.webhook.excludedNamespaces -}}
{{- if .Values.webhook.excludeReleaseNamespace -}}
{{- $excluded = append $excluded .Release.Namespace | uniq -}}
{{- end -}}
{{- if $excluded -}}
{{- $exclusion := dict "key" "kubernetes.io/metadata.name" "operator" "NotIn" "values" $excluded -}}
{{- $_ := set $selector "matchExpressions" (append (default list $selector.matchExpressions) $exclusion) -}}
{{- end -}}
{{- toYaml $selector -}}
{{- end -}}

{{- define "pillion.matchConditions" -}}
# The kubelet makes mirror pods for its static pods; they exist already and cannot be changed.
- name: not-mirror
  expression: >-
    !has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)
{{- with .Values.webhook.matchConditions }}
{{ toYaml . }}
{{- end }}
{{- end -}}

{{- define "pillion.webhookConfigurationMetadata" -}}
{{- $root := .root -}}
name: {{ include "pillion.webhookConfigurationName" $root }}
labels:
  {{- include "pillion.labels" $root | nindent 2 }}
{{- $annotations := merge (default dict .annotations) $root.Values.webhook.annotations }}
{{- if eq $root.Values.certs.mode "certManager" }}
{{- $certificate := printf "%s/%s" $root.Release.Namespace (include "pillion.fullname" $root) }}
{{- $_ := set $annotations "cert-manager.io/inject-ca-from" $certificate }}
{{- end }}
{{- with $annotations }}
annotations:
  {{- toYaml . | nindent 2 }}
{{- end }}
{{- end -}}

{{- /* Where the API server calls. The caBundle is written at run time, by Pillion or cert-manager: rendering it too would
make them fight with whoever applies the chart. One webhook needs it earlier, and then it is given as `caBundle`. */ -}}
{{- define "pillion.clientConfig" -}}
{{- $root := .root -}}
{{- with $root.Values.webhook.url -}}
url: {{ trimSuffix "/" . }}{{ $.path }}
{{- else -}}
service: {name: {{ include "pillion.fullname" $root }}, namespace: {{ $root.Release.Namespace | quote }}, path: {{ .path }}, port: 443}
{{- end }}
{{- $bundle := .caBundle }}
{{- if eq $root.Values.certs.mode "existingSecret" }}
{{- $bundle = default $bundle $root.Values.certs.existingSecret.caBundle }}
{{- end }}
{{- with $bundle }}
caBundle: {{ . }}
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

{{- /* Which pods are sent where none can keep itself away by label: what a namespace requires is for those, too. */ -}}
{{- define "pillion.strictObjectSelector" -}}
{{- $selector := deepCopy (default dict .Values.webhook.objectSelector) }}
{{- $expressions := list }}
{{- range $selector.matchExpressions }}
{{- if not (and (eq .key "pillion.dev/inject") (eq .operator "NotIn")) }}
{{- $expressions = append $expressions . }}
{{- end }}
{{- end }}
{{- $_ := unset $selector "matchExpressions" }}
{{- if $expressions }}
{{- $_ := set $selector "matchExpressions" $expressions }}
{{- end }}
{{- toYaml $selector }}
{{- end -}}

{{- define "pillion.matchConditions" -}}
# The kubelet makes mirror pods for its static pods; they exist already and cannot be changed.
- name: not-mirror
  expression: >-
    !has(object.metadata.annotations) || !('kubernetes.io/config.mirror' in object.metadata.annotations)
{{- if not .Values.webhook.excludeReleaseNamespace }}
{{- $terms := list (printf "request.namespace == '%s'" .Release.Namespace) "has(object.metadata.labels)" }}
{{- range $key, $value := include "pillion.selectorLabels" . | fromYaml }}
{{- $terms = append $terms (printf "'%s' in object.metadata.labels && object.metadata.labels['%s'] == '%s'" $key $key $value) }}
{{- end }}
# Pillion itself must start when nobody answers.
- name: not-pillion
  expression: >-
    !({{ join " &&\n    " $terms }})
{{- end }}
{{- with .Values.webhook.matchConditions }}
{{ toYaml . }}
{{- end }}
{{- end -}}

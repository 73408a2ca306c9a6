{{/* Whether the autoscaler scales to zero and back; empty if not. */}}
{{- define "triton.fromZero" -}}
{{- with .Values.autoscaling -}}
{{- if and .enabled (or (eq (int .minReplicas) 0) (and (eq .kind "keda") (not (kindIs "invalid" .keda.idleReplicaCount)))) -}}true{{- end -}}
{{- end -}}
{{- end -}}

{{/* The fallback as YAML; empty without one. */}}
{{- define "triton.keda.fallback" -}}
{{- with .Values.autoscaling.keda.fallback -}}
{{- if not (kindIs "invalid" .replicas) -}}{{- toYaml . -}}{{- end -}}
{{- end -}}
{{- end -}}

{{/* Prometheus as KEDA reads it: the metadata and the authentication that all triggers share. */}}
{{- define "triton.keda.server" -}}
{{- with .Values.autoscaling.keda -}}
serverAddress: {{ .prometheusUrl | quote }}
{{- if .authentication.name }}
authModes: {{ .authentication.modes | join "," | quote }}
{{- end }}
{{- if .headers }}
{{- $headers := list }}
{{- range $name, $value := .headers }}
{{- $headers = append $headers (printf "%s=%s" $name $value) }}
{{- end }}
customHeaders: {{ $headers | join "," | quote }}
{{- end }}
{{- end -}}
{{- end -}}

{{- define "triton.keda.authentication" -}}
{{- with .Values.autoscaling.keda.authentication -}}
{{- if .name -}}
authenticationRef: {name: {{ .name | quote }}, kind: {{ .kind }}}
{{- end -}}
{{- end -}}
{{- end -}}

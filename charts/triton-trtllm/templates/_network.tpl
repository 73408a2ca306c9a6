{{/* Whether networkPolicy.egress bounds the connections that the pods open; empty if not. */}}
{{- define "triton.boundsEgress" -}}
{{- with .Values.networkPolicy -}}{{- if and .enabled (not (kindIs "invalid" .egress)) -}}true{{- end -}}{{- end -}}
{{- end -}}

{{- define "triton.policyTypes" -}}
{{- include "triton.boundsEgress" . | empty | ternary "[Ingress]" "[Ingress, Egress]" -}}
{{- end -}}

{{- define "triton.egress" -}}
{{- if include "triton.boundsEgress" . -}}
egress:
  # DNS, on OpenShift at 5353
  - ports: [{port: 53, protocol: UDP}, {port: 53, protocol: TCP}, {port: 5353, protocol: UDP}, {port: 5353, protocol: TCP}]
  # the pods of a group, and the server that `helm test` calls
  - to:
      - podSelector:
          matchLabels:
            {{- include "triton.instance" . | nindent 12 }}
  {{- with .Values.networkPolicy.egress }}
  {{- toYaml . | nindent 2 }}
  {{- end }}
{{- end -}}
{{- end -}}

{{/* Rejects values of the access from outside that contradict each other. */}}
{{- define "triton.ingressGuards" -}}
{{- $v := .Values -}}
{{- if and (ne $v.ingress.kind "none") (not $v.ingress.host) -}}
{{- fail (printf "ingress.kind %s needs ingress.host: set the host name that clients use, or with kind traefik \"*\" to match any host, for a cluster with one release" $v.ingress.kind) -}}
{{- end -}}
{{- if and (eq $v.ingress.host "*") (ne $v.ingress.kind "traefik") -}}
{{- fail (printf "ingress.host \"*\" is supported only with ingress.kind traefik, and the kind is %s: set a host name" $v.ingress.kind) -}}
{{- end -}}
{{- if and (eq $v.ingress.kind "gateway") (eq $v.ingress.gateway.httpHost $v.ingress.host) -}}
{{- fail (printf "ingress.gateway.httpHost equals ingress.host, %s: a Gateway accepts a GRPCRoute or an HTTPRoute per host name, not both; use another name for HTTP, or leave httpHost empty" $v.ingress.host) -}}
{{- end -}}
{{- if and (eq $v.ingress.kind "gateway") (not $v.ingress.gateway.name) -}}
{{- fail "ingress.kind gateway needs ingress.gateway.name: set the Gateway that the routes attach to" -}}
{{- end -}}
{{- if and (eq $v.ingress.kind "nginx") (not $v.ingress.tlsSecret) -}}
{{- fail "NGINX supports gRPC only over TLS: set ingress.tlsSecret, or use ingress.kind traefik or gateway" -}}
{{- end -}}
{{- end -}}

{{/* Rejects values of the access from outside that contradict each other. */}}
{{- define "triton.ingressGuards" -}}
{{- $ingress := .Values.ingress -}}
{{- $hosts := include "triton.hosts" . | fromJsonArray -}}
{{- $gateway := $ingress.gateway -}}
{{- $routes := include "triton.routeHosts" . | fromJson -}}

{{- if and (ne $ingress.kind "none") (not $hosts) -}}
{{- fail (printf "ingress.kind %s needs ingress.host: set the host name that clients use, or with kind traefik \"*\" to match any host, for a cluster with one release" $ingress.kind) -}}
{{- end -}}
{{- if and (eq $ingress.host "*") (ne $ingress.kind "traefik") -}}
{{- fail (printf "ingress.host \"*\" is supported only with ingress.kind traefik, and the kind is %s: set a host name" $ingress.kind) -}}
{{- end -}}
{{- if and (eq $ingress.host "*") $ingress.hosts -}}
{{- fail "ingress.host \"*\" matches any host, and ingress.hosts lists more: leave one of them out" -}}
{{- end -}}
{{- include "triton.uniqueGuard" (list "ingress.host and hosts contain" $routes.GRPCRoute) -}}
{{- include "triton.uniqueGuard" (list "ingress.gateway.httpHost and httpHosts contain" $routes.HTTPRoute) -}}
{{- include "triton.uniqueGuard" (list "ingress.gateway.sectionName and sectionNames contain" (prepend ($gateway.sectionNames | default list) $gateway.sectionName)) -}}

{{- if eq $ingress.kind "gateway" -}}
{{- range $routes.HTTPRoute -}}
{{- if has . $routes.GRPCRoute -}}
{{- fail (printf "ingress.gateway.httpHost or httpHosts has %s, which is a host name of gRPC in ingress.host or hosts: a Gateway accepts a GRPCRoute or an HTTPRoute per host name, not both; use another name for HTTP, or leave httpHost empty" .) -}}
{{- end -}}
{{- end -}}
{{- range $kind, $names := $routes -}}
{{- if gt (len $names) 16 -}}
{{- fail (printf "one %s has at most 16 host names, and the values give it %d: use a wildcard such as *.example.com, or a second release" $kind (len $names)) -}}
{{- end -}}
{{- end -}}
{{- range $number, $entry := $ingress.hosts -}}
{{- if .tlsSecret -}}
{{- fail (printf "ingress.hosts[%d] has a tlsSecret, and with ingress.kind gateway certificates belong to the listeners of the Gateway: leave it out, and name the listeners in ingress.gateway.sectionNames" $number) -}}
{{- end -}}
{{- end -}}
{{- if not $gateway.name -}}
{{- fail "ingress.kind gateway needs ingress.gateway.name: set the Gateway that the routes attach to" -}}
{{- end -}}
{{- end -}}
{{- if eq $ingress.kind "nginx" -}}
{{- range $hosts -}}
{{- if not .tlsSecret -}}
{{- fail (printf "NGINX supports gRPC only over TLS, and %s has no certificate: set ingress.tlsSecret, or tlsSecret of its entry in ingress.hosts, or use ingress.kind traefik or gateway" .host) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Rejects a name that a list has twice. Arguments: what the list is, the list. */}}
{{- define "triton.uniqueGuard" -}}
{{- $names := dict -}}
{{- range index . 1 | compact -}}
{{- if hasKey $names . -}}
{{- fail (printf "%s %s twice: keep one" (index $ 0) .) -}}
{{- end -}}
{{- $_ := set $names . true -}}
{{- end -}}
{{- end -}}

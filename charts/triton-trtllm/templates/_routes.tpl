{{/* Methods and paths that are routed from outside: inference, metadata, statistics and health. Endpoints that change the
     server (shared memory, tracing, logging) are not. */}}
{{- define "triton.grpcMethods" -}}
{{- list "ServerLive" "ServerReady" "ServerMetadata" "ModelReady" "ModelMetadata" "ModelConfig" "ModelStatistics" "ModelInfer" "ModelStreamInfer" "RepositoryIndex" | toJson -}}
{{- end -}}

{{- define "triton.grpcPaths" -}}
/inference[.]GRPCInferenceService/({{ include "triton.grpcMethods" . | fromJsonArray | join "|" }})$
{{- end -}}

{{- define "triton.httpPaths" -}}
/v2(/health/(live|ready)|/repository/index|/models/stats|/models/[^/]+(/versions/[0-9]+)?(/(ready|config|stats|infer|generate|generate_stream))?)?/?$
{{- end -}}

{{/* Every host name with its TLS Secret, as JSON: host first, then those of hosts. */}}
{{- define "triton.hosts" -}}
{{- $tls := .Values.ingress.tlsSecret -}}
{{- $hosts := list -}}
{{- with .Values.ingress.host -}}{{- $hosts = append $hosts (dict "host" . "tlsSecret" $tls) -}}{{- end -}}
{{- range .Values.ingress.hosts -}}
{{- $hosts = append $hosts (dict "host" .host "tlsSecret" (default $tls .tlsSecret)) -}}
{{- end -}}
{{- $hosts | toJson -}}
{{- end -}}

{{/* The same by Secret, in their order: a list of {tlsSecret, hosts}. */}}
{{- define "triton.hostsBySecret" -}}
{{- $secrets := list -}}
{{- $names := dict -}}
{{- range include "triton.hosts" . | fromJsonArray -}}
{{- $secrets = append $secrets .tlsSecret | uniq -}}
{{- $_ := set $names .tlsSecret (append (get $names .tlsSecret | default list) .host) -}}
{{- end -}}
{{- $groups := list -}}
{{- range $secrets -}}{{- $groups = append $groups (dict "tlsSecret" . "hosts" (get $names .)) -}}{{- end -}}
{{- $groups | toJson -}}
{{- end -}}

{{/* Host names of a GRPCRoute and an HTTPRoute, as JSON by kind. */}}
{{- define "triton.routeHosts" -}}
{{- $grpc := list -}}
{{- range include "triton.hosts" . | fromJsonArray -}}{{- $grpc = append $grpc .host -}}{{- end -}}
{{- $http := prepend (.Values.ingress.gateway.httpHosts | default list) .Values.ingress.gateway.httpHost | compact -}}
{{- dict "GRPCRoute" $grpc "HTTPRoute" $http | toJson -}}
{{- end -}}

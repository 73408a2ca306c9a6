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

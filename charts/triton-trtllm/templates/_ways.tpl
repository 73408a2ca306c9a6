{{/* What is let in from outside: inference, metadata, statistics, health. What changes the server, as shared memory,
     tracing and logging do, is for the pod alone. */}}
{{- define "triton.grpcMethods" -}}
{{- list "ServerLive" "ServerReady" "ServerMetadata" "ModelReady" "ModelMetadata" "ModelConfig" "ModelStatistics" "ModelInfer" "ModelStreamInfer" "RepositoryIndex" | toJson -}}
{{- end -}}

{{- define "triton.grpcPaths" -}}
/inference[.]GRPCInferenceService/({{ include "triton.grpcMethods" . | fromJsonArray | join "|" }})$
{{- end -}}

{{- define "triton.httpPaths" -}}
/v2(/health/(live|ready)|/repository/index|/models/stats|/models/[^/]+(/versions/[0-9]+)?(/(ready|config|stats|infer|generate|generate_stream))?)?/?$
{{- end -}}

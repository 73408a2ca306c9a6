{{/* Rejects an incomplete copy of the chart: some tools that install from a git tree or an archive leave files out. */}}
{{- define "triton.fileGuard" -}}
{{- $listed := .Files.Lines "files/list.txt" -}}
{{- $missing := list -}}
{{- range $path := $listed -}}
{{- if not ($.Files.Glob (printf "files/%s" $path)) -}}
{{- $missing = append $missing (printf "files/%s" $path) -}}
{{- end -}}
{{- end -}}
{{- if not $listed -}}{{- $missing = list "files/list.txt" -}}{{- end -}}
{{- with $missing -}}
{{- fail (printf "this copy of the chart is incomplete, %d of its files are missing: %s; install the chart from a complete checkout or a packaged chart" (len .) (join ", " .)) -}}
{{- end -}}
{{- end -}}

{{/* Keys of a ConfigMap cannot contain slashes: they become dots, and the volume's items restore the paths. */}}
{{- define "triton.filesData" -}}
{{- $root := index . 0 -}}
{{- range $glob := slice . 1 -}}
{{- range $path, $content := $root.Files.Glob $glob }}
{{ trimPrefix "files/" $path | replace "/" "." }}: {{ toString $content | quote }}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* Names and labels that all templates share. */}}
{{- define "bitshift.fullname" -}}
{{- if contains .Chart.Name .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name .Chart.Name | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{/* Cluster-wide objects of two releases must not share a name. */}}
{{- define "bitshift.clusterName" -}}
{{- if eq .Release.Namespace "bitshift-system" -}}
{{- include "bitshift.fullname" . -}}
{{- else -}}
{{- printf "%s-%s" (include "bitshift.fullname" .) .Release.Namespace | trunc 63 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "bitshift.selector" -}}
app.kubernetes.io/name: {{ .Chart.Name }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{/* `managed-by` is Helm's own here: the operator takes what says `bitshift` for parts of a model. */}}
{{- define "bitshift.labels" -}}
{{ include "bitshift.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version }}
{{- end -}}

{{- define "bitshift.account" -}}
{{- if .Values.serviceAccount.create -}}
{{- default (include "bitshift.fullname" .) .Values.serviceAccount.name -}}
{{- else -}}
{{- default "default" .Values.serviceAccount.name -}}
{{- end -}}
{{- end -}}

{{/* An image by its digest, else by its tag: call with a dict of `image` and `root`. */}}
{{- define "bitshift.image" -}}
{{- if .image.digest -}}
{{- printf "%s@%s" .image.repository .image.digest -}}
{{- else -}}
{{- printf "%s:%s" .image.repository (default .root.Chart.AppVersion .image.tag) -}}
{{- end -}}
{{- end -}}

{{- define "bitshift.podSecurity" -}}
runAsNonRoot: true
runAsUser: 65532
runAsGroup: 65532
fsGroup: 65532
seccompProfile:
  type: RuntimeDefault
{{- end -}}

{{- define "bitshift.containerSecurity" -}}
allowPrivilegeEscalation: false
readOnlyRootFilesystem: true
capabilities:
  drop: [ALL]
{{- end -}}

{{/* The environment: one variable for each field of the operator's settings, `kubeconfig` and `context` aside. */}}
{{- define "bitshift.environment" -}}
- name: BITSHIFT_NAMESPACE
  valueFrom: {fieldRef: {fieldPath: metadata.namespace}}
- name: BITSHIFT_POD_NAME
  valueFrom: {fieldRef: {fieldPath: metadata.name}}
- {name: BITSHIFT_WATCH_NAMESPACES, value: {{ join "," .Values.watchNamespaces | quote }}}
- {name: BITSHIFT_RUNTIME_IMAGE, value: {{ include "bitshift.image" (dict "image" .Values.runtimeImage "root" .) | quote }}}
- {name: BITSHIFT_IMAGE_PULL_POLICY, value: {{ .Values.imagePullPolicy | quote }}}
- {name: BITSHIFT_IMAGE_PULL_SECRETS, value: {{ join "," .Values.imagePullSecrets | quote }}}
- {name: BITSHIFT_GATEWAY_ADDRESS, value: {{ .Values.operator.gatewayAddress | quote }}}
- {name: BITSHIFT_HUGGING_FACE_ENDPOINT, value: {{ .Values.operator.huggingFaceEndpoint | quote }}}
- {name: BITSHIFT_S3_ENDPOINT, value: {{ .Values.operator.s3Endpoint | quote }}}
- {name: BITSHIFT_CLUSTER_DOMAIN, value: {{ .Values.operator.clusterDomain | quote }}}
- {name: BITSHIFT_LOG_LEVEL, value: {{ .Values.operator.logLevel | quote }}}
- {name: BITSHIFT_METRICS_PORT, value: {{ .Values.operator.metricsPort | quote }}}
- {name: BITSHIFT_HEALTH_PORT, value: {{ .Values.operator.healthPort | quote }}}
- {name: BITSHIFT_WORKERS, value: {{ .Values.operator.workers | quote }}}
- {name: BITSHIFT_REQUEST_TIMEOUT_SECONDS, value: {{ .Values.operator.requestTimeoutSeconds | quote }}}
- {name: BITSHIFT_STALE_AFTER_SECONDS, value: {{ .Values.operator.staleAfterSeconds | quote }}}
- {name: BITSHIFT_STOP_SECONDS, value: {{ .Values.operator.stopSeconds | quote }}}
- {name: BITSHIFT_LEASE_NAME, value: {{ .Values.lease.name | quote }}}
- {name: BITSHIFT_LEASE_SECONDS, value: {{ .Values.lease.seconds | quote }}}
- {name: BITSHIFT_LEASE_RENEW_SECONDS, value: {{ .Values.lease.renewSeconds | quote }}}
- {name: BITSHIFT_LEASE_RETRY_SECONDS, value: {{ .Values.lease.retrySeconds | quote }}}
{{- end -}}

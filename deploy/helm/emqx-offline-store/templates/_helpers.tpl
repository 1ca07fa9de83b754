{{- define "store.name" -}}
{{- default .Chart.Name .Values.nameOverride | trunc 63 | trimSuffix "-" -}}
{{- end -}}

{{- define "store.fullname" -}}
{{- if .Values.fullnameOverride -}}
{{- .Values.fullnameOverride | trunc 52 | trimSuffix "-" -}}
{{- else if contains (include "store.name" .) .Release.Name -}}
{{- .Release.Name | trunc 52 | trimSuffix "-" -}}
{{- else -}}
{{- printf "%s-%s" .Release.Name (include "store.name" .) | trunc 52 | trimSuffix "-" -}}
{{- end -}}
{{- end -}}

{{- define "store.selector" -}}
app.kubernetes.io/name: {{ include "store.name" . }}
app.kubernetes.io/instance: {{ .Release.Name }}
{{- end -}}

{{- define "store.labels" -}}
{{ include "store.selector" . }}
app.kubernetes.io/version: {{ .Chart.AppVersion | quote }}
app.kubernetes.io/managed-by: {{ .Release.Service }}
helm.sh/chart: {{ printf "%s-%s" .Chart.Name .Chart.Version | replace "+" "_" }}
{{- end -}}

{{- define "store.secretName" -}}
{{- .Values.existingSecret | default (include "store.fullname" .) -}}
{{- end -}}

{{- define "store.scheme" -}}
{{- if .Values.tls.existingSecret }}https{{ else }}http{{ end -}}
{{- end -}}

{{- define "store.url" -}}
{{ include "store.scheme" . }}://{{ include "store.fullname" . }}.{{ .Release.Namespace }}.svc:{{ .Values.service.port }}
{{- end -}}

{{/* A probe: what the values say, and the path. */}}
{{- define "store.probe" -}}
httpGet:
  path: {{ .path }}
  port: http
  scheme: {{ include "store.scheme" .root | upper }}
{{ toYaml .values }}
{{- end -}}

{{/* What is wrong with the values is said before anything is installed. */}}
{{- define "store.check" -}}
{{- $values := .Values -}}
{{- if not .Values.existingSecret -}}
{{- range list "INGEST_TOKEN" "ADMIN_TOKEN" -}}
{{- if not (get $values.secrets .) -}}
{{- fail (printf "secrets.%s is required, or existingSecret: other pods can reach the server" .) -}}
{{- end -}}
{{- end -}}
{{- if not .Values.embedded.enabled -}}
{{- range list "STORE_URL" "QUEUE_URL" -}}
{{- if not (get $values.secrets .) -}}
{{- fail (printf "secrets.%s is required, or existingSecret, because embedded.enabled is false" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- end -}}
{{- range list "HOST" "PORT" "DATA_DIR" "POLICIES" "TLS_CERT_FILE" "TLS_KEY_FILE" -}}
{{- if hasKey $values.settings . -}}
{{- fail (printf "settings.%s is set by the chart: use service.port, policies, tls or embedded" .) -}}
{{- end -}}
{{- end -}}
{{- end -}}

{{/* The pod of the StatefulSet and of the Deployment. */}}
{{- define "store.pod" -}}
metadata:
  labels:
    {{- include "store.labels" . | nindent 4 }}
    {{- with .Values.podLabels }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  annotations:
    {{- if not .Values.existingSecret }}
    checksum/secret: {{ include (print $.Template.BasePath "/secret.yaml") . | sha256sum }}
    {{- end }}
    checksum/settings: {{ include (print $.Template.BasePath "/configmap.yaml") . | sha256sum }}
    {{- with .Values.podAnnotations }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
spec:
  automountServiceAccountToken: false
  # The server ends within 9 s of SIGTERM.
  terminationGracePeriodSeconds: 30
  {{- with .Values.imagePullSecrets }}
  imagePullSecrets:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  securityContext:
    runAsNonRoot: true
    # The user `node` of the image.
    runAsUser: 1000
    runAsGroup: 1000
    fsGroup: 1000
    fsGroupChangePolicy: OnRootMismatch
    seccompProfile:
      type: RuntimeDefault
  containers:
    - name: server
      image: "{{ .Values.image.repository }}:{{ .Values.image.tag | default .Chart.AppVersion }}"
      imagePullPolicy: {{ .Values.image.pullPolicy }}
      securityContext:
        allowPrivilegeEscalation: false
        readOnlyRootFilesystem: true
        capabilities:
          drop: [ALL]
      envFrom:
        - configMapRef:
            name: {{ include "store.fullname" . }}
        - secretRef:
            name: {{ include "store.secretName" . }}
      {{- with .Values.extraEnv }}
      env:
        {{- toYaml . | nindent 8 }}
      {{- end }}
      ports:
        - name: http
          containerPort: 8480
      startupProbe:
        {{- include "store.probe" (dict "root" . "path" "/healthz" "values" .Values.startupProbe) | nindent 8 }}
      livenessProbe:
        {{- include "store.probe" (dict "root" . "path" "/healthz" "values" .Values.livenessProbe) | nindent 8 }}
      readinessProbe:
        {{- include "store.probe" (dict "root" . "path" "/readyz" "values" .Values.readinessProbe) | nindent 8 }}
      resources:
        {{- toYaml .Values.resources | nindent 8 }}
      volumeMounts:
        - name: tmp
          mountPath: /tmp
        {{- if .Values.embedded.enabled }}
        - name: data
          mountPath: /data
        {{- end }}
        {{- if .Values.tls.existingSecret }}
        - name: tls
          mountPath: /tls
          readOnly: true
        {{- end }}
        {{- with .Values.extraVolumeMounts }}
        {{- toYaml . | nindent 8 }}
        {{- end }}
  volumes:
    - name: tmp
      emptyDir: {}
    {{- if .Values.tls.existingSecret }}
    - name: tls
      secret:
        secretName: {{ .Values.tls.existingSecret }}
        defaultMode: 0440
    {{- end }}
    {{- with .Values.extraVolumes }}
    {{- toYaml . | nindent 4 }}
    {{- end }}
  {{- with .Values.nodeSelector }}
  nodeSelector:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.affinity }}
  affinity:
    {{- toYaml . | nindent 4 }}
  {{- end }}
  {{- with .Values.tolerations }}
  tolerations:
    {{- toYaml . | nindent 4 }}
  {{- end }}
{{- end -}}

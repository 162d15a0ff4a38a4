{{- /* What shims include: the context, the body's path below the templates, the folder of templates if the context does not tell. */ -}}
{{- define "@quench@.template" -}}
  {{- $root := index . 0 -}}
  {{- $base := index . 2 -}}
  {{- $settings := dict -}}
  {{- if kindIs "map" $root -}}
    {{- $template := index $root "Template" -}}
    {{- if kindIs "map" $template -}}
      {{- if index $template "BasePath" -}}
        {{- $base = index $template "BasePath" -}}
      {{- end -}}
    {{- end -}}
    {{- $values := index $root "Values" -}}
    {{- if kindIs "map" $values -}}
      {{- $global := index $values "global" -}}
      {{- if kindIs "map" $global -}}
        {{- $hardening := index $global "hardening" -}}
        {{- if kindIs "map" $hardening -}}
          {{- $settings = $hardening -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $template := print $base (index . 1) -}}
  {{- $text := include $template $root -}}
  {{- if eq (toString (index $settings "enabled")) "false" -}}
    {{- $text -}}
  {{- else -}}
    {{- include "@quench@.documents" (dict "text" $text "root" $root "settings" $settings "template" $template) -}}
  {{- end -}}
{{- end -}}
{{- /* Helm takes "<no value>" out of a finished file; here it would be text. It is split without taking white space from ends: the last newlines of a block scalar mean something. */ -}}
{{- define "@quench@.documents" -}}
  {{- $call := . -}}
  {{- $last := "" -}}
  {{- range $document := regexSplit "(?m)^---[ \\t]*" (replace "<no value>" "" .text) -1 -}}
    {{- $document = regexReplaceAll "^\\s+" $document "" -}}
    {{- if $document -}}
      {{- $object := fromYaml (print $document "\n") -}}
      {{- $printed := $document -}}
      {{- if $object -}}
        {{- if and (eq (len $object) 1) (kindIs "string" (index $object "Error")) -}}
          {{- fail (printf "%s: cannot be hardened, since it renders to text that is no YAML map: %s" $call.template (index $object "Error")) -}}
        {{- end -}}
        {{- if regexMatch "(^|[^0-9A-Za-z_.])[0-9_]{16,}([^0-9A-Za-z_]|$)" $document -}}
          {{- include "@quench@.exact" (dict "value" $object "template" $call.template) -}}
        {{- end -}}
        {{- include "@quench@.each" (dict "object" $object "call" $call "depth" 0) -}}
        {{- $printed = toYaml $object -}}
        {{- if not $printed -}}
          {{- fail (printf "%s: cannot be hardened, since an object cannot be printed as YAML" $call.template) -}}
        {{- end -}}
      {{- end -}}
      {{- if $last -}}
        {{- if not (hasSuffix "\n" $last) -}}{{- "\n" -}}{{- end -}}
        {{- "---\n" -}}
      {{- end -}}
      {{- $printed -}}
      {{- $last = $printed -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- /* An object, or each member of a List. Prints nothing. */ -}}
{{- define "@quench@.each" -}}
  {{- $object := .object -}}
  {{- $call := .call -}}
  {{- $depth := .depth -}}
  {{- if and (kindIs "slice" (index $object "items")) (hasSuffix "List" (toString (index $object "kind"))) (lt $depth 8) -}}
    {{- range $item := index $object "items" -}}
      {{- if kindIs "map" $item -}}
        {{- include "@quench@.each" (dict "object" $item "call" $call "depth" (add1 $depth)) -}}
      {{- end -}}
    {{- end -}}
  {{- else -}}
    {{- $printed := include "@quench@.object" (dict "object" $object "root" $call.root "settings" $call.settings "template" $call.template) -}}
  {{- end -}}
{{- end -}}
{{- /* Fails on integers that float64 does not hold exactly. Prints nothing. */ -}}
{{- define "@quench@.exact" -}}
  {{- $call := . -}}
  {{- if kindIs "float64" .value -}}
    {{- if or (ge .value 9007199254740992.0) (le .value -9007199254740992.0) -}}
      {{- fail (printf "%s: cannot be hardened, since the integer %.0f has too many digits for a template; quote it, or set global.hardening.enabled to false" .template .value) -}}
    {{- end -}}
  {{- else if or (kindIs "map" .value) (kindIs "slice" .value) -}}
    {{- range $item := .value -}}
      {{- include "@quench@.exact" (dict "value" $item "template" $call.template) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}

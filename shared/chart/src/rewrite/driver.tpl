{{- /* What shims include, with a list: the context, the template's and the body's path below the chart's templates, and the folder of templates in case the context does not tell it. */ -}}
{{- /* Only a template that Helm renders itself is hardened. One that another template includes, for a checksum say, comes as the body has it: what it becomes part of is hardened as a whole. */ -}}
{{- define "@quench@.template" -}}
  {{- $root := index . 0 -}}
  {{- $base := index . 3 -}}
  {{- $rendered := "" -}}
  {{- $settings := dict -}}
  {{- $values := dict -}}
  {{- if kindIs "map" $root -}}
    {{- $template := index $root "Template" -}}
    {{- if kindIs "map" $template -}}
      {{- $rendered = toString (index $template "Name") -}}
      {{- if index $template "BasePath" -}}
        {{- $base = index $template "BasePath" -}}
      {{- end -}}
    {{- end -}}
    {{- $values = index $root "Values" -}}
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
  {{- if kindIs "map" $values -}}
    {{- $done := include "@quench@.parameters" (dict "values" $values "base" $base "static" (index . 3) "settings" $settings) -}}
  {{- end -}}
  {{- $text := include (print $base (index . 2)) $root -}}
  {{- if or (ne $rendered $template) (eq (toString (index $settings "enabled")) "false") -}}
    {{- $text -}}
  {{- else -}}
    {{- include "@quench@.documents" (dict "text" (replace "<no value>" "" $text) "root" $root "settings" $settings "template" $template) -}}
  {{- end -}}
{{- end -}}
{{- /* White space at the end of a document means something to block scalars that keep their newlines, or end in lines of spaces. What Helm leaves of it there depends on its version: none, that of the last document, all. */ -}}
{{- define "@quench@.documents" -}}
  {{- $call := . -}}
  {{- $printed := false -}}
  {{- $documents := regexSplit "(?m)^---[ \\t]*" .text -1 -}}
  {{- $version := regexFind "[0-9]+\\.[0-9]+(\\.[0-9]+)?" (toString .root.Capabilities.HelmVersion.Version) | default "4.2.4" -}}
  {{- $kept := ternary 2 (ternary 1 0 (semverCompare ">=4.2.0" $version)) (semverCompare ">=4.2.4" $version) -}}
  {{- range $index, $document := $documents -}}
    {{- $document = regexReplaceAll "^\\s+" $document "" -}}
    {{- if or (eq $kept 0) (and (eq $kept 1) (lt (add1 $index) (len $documents))) -}}
      {{- $document = regexReplaceAll "\\s+$" $document "" -}}
    {{- end -}}
    {{- if $document -}}
      {{- $object := fromYaml (print $document "\n") -}}
      {{- if $printed -}}{{- "\n---\n" -}}{{- end -}}
      {{- $printed = true -}}
      {{- if $object -}}
        {{- if and (eq (len $object) 1) (kindIs "string" (index $object "Error")) -}}
          {{- fail (printf "%s: cannot be hardened, since it renders to text that is no YAML map: %s" $call.template (index $object "Error")) -}}
        {{- end -}}
        {{- if regexMatch "(^|[^0-9A-Za-z_.])[0-9_]{16,}([^0-9A-Za-z_]|$)" $document -}}
          {{- include "@quench@.exact" (dict "value" $object "template" $call.template) -}}
        {{- end -}}
        {{- include "@quench@.each" (dict "object" $object "call" $call "depth" 0) -}}
        {{- $document = toYaml $object -}}
        {{- if not $document -}}
          {{- fail (printf "%s: cannot be hardened, since an object cannot be printed as YAML" $call.template) -}}
        {{- end -}}
      {{- end -}}
      {{- $document -}}
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
    {{- if and (or (ge .value 9007199254740992.0) (le .value -9007199254740992.0)) (lt .value 18446744073709551616.0) (gt .value -18446744073709551616.0) -}}
      {{- fail (printf "%s: cannot be hardened, since the integer %.0f has too many digits for a template; quote it, or set global.hardening.enabled to false" .template .value) -}}
    {{- end -}}
  {{- else if or (kindIs "map" .value) (kindIs "slice" .value) -}}
    {{- range $item := .value -}}
      {{- include "@quench@.exact" (dict "value" $item "template" $call.template) -}}
    {{- end -}}
  {{- end -}}
{{- end -}}

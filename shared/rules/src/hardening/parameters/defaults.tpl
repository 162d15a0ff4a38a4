{{- /* Puts defaults in where no value is given. A key that is there with nothing in it was given as null, which takes a default away; and a map that is not there was taken away as a whole. */ -}}
{{- define "@quench@.parameters" -}}
  {{- $values := .values -}}
  {{- $settings := .settings -}}
  {{- $depth := sub (len (splitList "/charts/" .static)) 1 -}}
  {{- $names := splitList "/charts/" (trimSuffix "/templates" .base) -}}
  {{- $key := join "/" (slice $names (sub (len $names) $depth)) -}}
  {{- $entries := index (fromJson (include "@quench@.parameters.table" .)) $key -}}
  {{- $chosen := "hardened" -}}
  {{- if eq (toString (index $settings "enabled")) "false" -}}
    {{- $chosen = "own" -}}
  {{- end -}}
  {{- $rules := index $settings "rules" -}}
  {{- if kindIs "map" $rules -}}
    {{- $rule := index $rules "parameters" -}}
    {{- if kindIs "map" $rule -}}
      {{- if eq (toString (index $rule "enabled")) "false" -}}
        {{- $chosen = "own" -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
  {{- $waivers := index $settings "waivers" -}}
  {{- if not (kindIs "slice" $waivers) -}}
    {{- $waivers = list -}}
  {{- end -}}
  {{- if kindIs "slice" $entries -}}
    {{- range $entry := $entries -}}
      {{- $at := $values -}}
      {{- range $part := initial $entry.path -}}
        {{- if kindIs "map" $at -}}
          {{- $at = index $at $part -}}
        {{- end -}}
      {{- end -}}
      {{- if kindIs "map" $at -}}
        {{- $last := last $entry.path -}}
        {{- if not (hasKey $at $last) -}}
          {{- $value := index $entry $chosen -}}
          {{- range $waiver := $waivers -}}
            {{- if kindIs "map" $waiver -}}
              {{- if eq (toString (index $waiver "rule")) "parameters" -}}
                {{- $kind := toString (default "" (index $waiver "kind")) -}}
                {{- $name := toString (default "*" (index $waiver "name")) -}}
                {{- $pattern := printf "(?s)^%s$" (replace "\\*" ".*" (regexQuoteMeta $name)) -}}
                {{- if and (has (lower $kind) (list "" "parameter")) (not (index $waiver "container")) (regexMatch $pattern $entry.name) -}}
                  {{- $value = $entry.own -}}
                {{- end -}}
              {{- end -}}
            {{- end -}}
          {{- end -}}
          {{- $set := set $at $last $value -}}
        {{- end -}}
      {{- end -}}
    {{- end -}}
  {{- end -}}
{{- end -}}
{{- define "@quench@.parameters.table" -}}@table@{{- end -}}

use super::*;

fn waiver(rule: &str) -> Waiver {
    Waiver {
        rule: rule.to_owned(),
        kind: Some("Deployment".to_owned()),
        name: Some("web-*".to_owned()),
        container: None,
        reason: "it writes: beside itself # really".to_owned(),
        expires: Some("2027-01-31".to_owned()),
    }
}

fn adds(before: &str) -> String {
    let file = PolicyFile::parse(before).unwrap();
    let after = file.with(&waiver("read-only-root")).unwrap();
    assert_eq!(
        after.policy().waivers.last(),
        Some(&waiver("read-only-root")),
        "{before}"
    );
    // And out again: what it says is what it said.
    let last = after.policy().waivers.len() - 1;
    let again = after.without(last).unwrap();
    assert_eq!(again.policy(), file.policy(), "{}", again.text());
    after.text().to_owned()
}

#[test]
fn a_waiver_goes_behind_the_others_and_all_else_stays() {
    let before = "# our policy\ngate: {severity: high} # strict\nwaivers:\n  # nginx\n  - rule: run-as-non-root\n    reason: >-\n      it is\n      old\n\n# rules at the end\nrules:\n  probe-host: {enabled: false}\n";
    let after = adds(before);
    let added = "  - rule: read-only-root\n    kind: Deployment\n    name: \"web-*\"\n    reason: \"it writes: beside itself # really\"\n    \
                 expires: \"2027-01-31\"\n";
    assert!(
        after.contains(&format!("      old\n{added}\n# rules at the end")),
        "{after}"
    );
    for line in before.lines() {
        assert!(after.contains(line), "{line:?} is gone: {after}");
    }
}

#[test]
fn lists_without_indentation_keep_theirs() {
    let after = adds("waivers:\n- rule: apparmor\n  reason: none # note\nrules: {}");
    assert!(
        after.contains("reason: none # note\n- rule: read-only-root\n  kind"),
        "{after}"
    );
    assert!(after.ends_with("rules: {}"), "{after}");
}

#[test]
fn files_without_waivers_get_some() {
    for before in [
        "",
        "# nothing yet\n",
        "gate:\n  enforce: false",
        "waivers: []  # none yet\nrules: {}\n",
        "waivers: # none yet\n\nrules: {}\n",
        "waivers: null\n",
        "{}",
        "{gate: {enforce: false}}",
        "{gate: {enforce: false}, waivers: []}",
        "---\ngate: {enforce: false}\n",
        "waivers: [{rule: apparmor, reason: old}]\n",
        "{\"waivers\": [{\"rule\": \"apparmor\", \"reason\": \"old\"}], \"rules\": {}}",
        "rules: {}\r\nwaivers:\r\n  - rule: apparmor\r\n    reason: ü\r\n",
        "waivers:\n  -\n    rule: apparmor\n    reason: |\n      - looks like an item\n      # and a comment\n# end\n",
    ] {
        let file = PolicyFile::parse(before).unwrap_or_else(|_| PolicyFile {
            text: before.to_owned(),
            policy: Policy::default(),
        });
        if before.contains("null") || before.contains("waivers: #") {
            // Policies take a list only; the message says what is wrong.
            assert!(read(before).is_err());
            let after = file.with(&waiver("read-only-root")).unwrap();
            assert_eq!(after.policy().waivers.len(), 1);
            continue;
        }
        adds(before);
    }
}

#[test]
fn any_waiver_can_be_taken_out() {
    let text = "waivers:\n  - rule: a\n    reason: one\n  # the second\n  - rule: b\n    reason: two\n  - {rule: c, reason: three}\n# end\n";
    for (position, left) in [(0, "b c"), (1, "a c"), (2, "a b")] {
        let after = PolicyFile::parse(text).unwrap().without(position).unwrap();
        let rules: Vec<_> = after
            .policy()
            .waivers
            .iter()
            .map(|w| w.rule.as_str())
            .collect();
        assert_eq!(rules.join(" "), left);
        assert!(after.text().contains("# end"), "{}", after.text());
    }
    let flow =
        PolicyFile::parse("waivers: [{rule: a, reason: one}, {rule: b, reason: two}]").unwrap();
    assert_eq!(
        flow.without(1).unwrap().text(),
        "waivers: [{rule: a, reason: one}]"
    );
    assert_eq!(
        flow.without(0).unwrap().text(),
        "waivers: [{rule: b, reason: two}]"
    );
}

#[test]
fn what_no_edit_can_do_is_refused_and_nothing_changes() {
    let anchored = "waivers: &w\n  - rule: a\n    reason: &r |+\n      x\n\n\n";
    let file = PolicyFile::parse(anchored).unwrap();
    if let Ok(after) = file.with(&waiver("read-only-root")) {
        assert_eq!(
            after.policy().waivers.first(),
            file.policy().waivers.first()
        );
    }
}

//! Unit names, exit statuses and signals against the recorded tables.

use relapse::unit::{exit_status, name, signal};
use serde_json::Value;

use crate::unit::{report, table, text};

#[test]
fn names_escape_unescape_and_mangle_as_systemd_escape_does() {
    let table = table("unit_name_escape");
    let mut failures = Vec::new();
    let mut rows = 0;
    let mut check = |id: String, wanted: &Value, got: Result<String, String>| {
        rows += 1;
        let ok = match &got {
            Ok(got) => wanted.as_str() == Some(got),
            Err(_) => wanted.is_null(),
        };
        if !ok {
            failures.push(format!("{id}: wanted {wanted}, got {got:?}"));
        }
    };
    for row in table["escape"].as_array().expect("escape") {
        let input = text(row, "input");
        check(format!("escape {input:?}"), &row["escape"], Ok(name::escape(input)));
        let path = name::escape_path(input).map_err(|error| error.to_string());
        check(format!("escape --path {input:?}"), &row["path"], path);
    }
    for row in table["unescape"].as_array().expect("unescape") {
        let input = text(row, "input");
        let plain = name::unescape(input).map_err(|error| error.to_string());
        let path = name::unescape_path(input).map_err(|error| error.to_string());
        for (kind, got) in [("unescape", plain), ("path", path)] {
            if let Err(message) = &got {
                check(format!("error of {kind} {input:?}"), &row[format!("{kind}_error")], Ok(message.clone()));
            }
            check(format!("{kind} {input:?}"), &row[kind], got);
        }
    }
    for row in table["mangle"].as_array().expect("mangle") {
        let input = text(row, "input");
        let got = name::mangle(input, ".service").map(|mangled| mangled.name).map_err(|error| error.to_string());
        check(format!("mangle {input:?}"), &row["mangled"], got);
    }
    for row in table["template"].as_array().expect("template") {
        let (template, input) = (text(row, "template"), text(row, "input"));
        let got = name::into_template(template, input).map_err(|error| error.to_string());
        if let Err(message) = &got {
            check(format!("error of template {template} {input:?}"), &row["stderr"], Ok(message.clone()));
        }
        check(format!("template {template} {input:?}"), &row["output"], got);
    }
    report(&failures, rows);
}

#[test]
fn a_sloppy_name_gets_the_hint_systemctl_prints() {
    let mangled = name::mangle("inv alid", ".service").expect("mangled");
    assert_eq!(mangled.name, "inv\\x20alid.service");
    assert_eq!(
        mangled.hint.as_deref(),
        Some(r#"Invalid unit name "inv alid" escaped as "inv\x20alid" (maybe you should use systemd-escape?)."#)
    );
    assert_eq!(name::mangle("g.bogus", ".service").expect("mangled").hint, None);
}

#[test]
fn every_exit_status_has_the_name_class_and_rendering_of_systemd() {
    let table = table("exit_status");
    let rows = table["all"].as_array().expect("all");
    let mut failures = Vec::new();
    for row in rows {
        let status = u8::try_from(row["status"].as_u64().expect("status")).expect("a byte");
        let known = exit_status::name(status);
        let got = [
            known.map_or(Value::Null, |(name, _)| name.into()),
            known.map_or(Value::Null, |(_, class)| class.as_str().into()),
            format!("status={}", exit_status::journal_code(status)).into(),
            format!("status={}", exit_status::status_code(status)).into(),
        ];
        let wanted = ["name", "class", "journal_suffix", "systemctl_status"].map(|key| row[key].clone());
        if got != wanted {
            failures.push(format!("{status}: wanted {wanted:?}, got {got:?}"));
        }
        if let Some((name, _)) = known
            && exit_status::from_name(name) != Some(status)
        {
            failures.push(format!("{status}: {name} does not lead back"));
        }
    }
    assert_eq!(rows.len(), 256);
    report(&failures, rows.len());
}

#[test]
fn signals_have_their_names_and_every_spelling_leads_to_them() {
    assert_eq!(exit_status::journal_signal(9), "9/KILL");
    for number in 1..=64 {
        let name = signal::name(number);
        let wanted = if matches!(number, 32 | 33) { name == number.to_string() } else { !name.is_empty() };
        assert!(wanted, "{number} is called {name}");
        for spelling in [name.clone(), format!("SIG{name}"), number.to_string()] {
            // 32 and 33 belong to the C library and have no names.
            if !matches!(number, 32 | 33) || !spelling.starts_with("SIG") {
                assert_eq!(signal::from_name(&spelling), Some(number), "{spelling}");
            }
        }
    }
    for (spelling, wanted) in [
        ("RTMIN", Some(34)),
        ("SIGRTMIN+1", Some(35)),
        ("RTMAX", Some(64)),
        ("RTMAX-30", Some(34)),
        ("RTMAX-31", None),
        ("RTMIN+31", None),
        ("term", None),
        ("0", None),
        ("65", None),
        ("-9", None),
        ("", None),
    ] {
        assert_eq!(signal::from_name(spelling), wanted, "{spelling:?}");
    }
}

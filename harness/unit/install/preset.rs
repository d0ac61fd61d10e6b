//! Presets: whether a unit should be enabled on a fresh machine (systemd.preset(5)).

use std::collections::BTreeMap;

use crate::unit::Files;
use crate::unit::name::{self, NameKind};

const DIRS: [&str; 4] = [
    "/etc/systemd/system-preset",
    "/run/systemd/system-preset",
    "/usr/local/lib/systemd/system-preset",
    "/usr/lib/systemd/system-preset",
];

/// Whether the preset of a unit is `enabled`: the first rule that matches says, and without a rule it is.
pub fn preset_enabled(files: &Files, unit: &str) -> bool {
    let mut found: BTreeMap<String, &[u8]> = BTreeMap::new();
    for dir in DIRS {
        for (file, _) in files.list(dir) {
            if file.ends_with(".preset") && !found.contains_key(file) {
                found.insert(file.to_owned(), files.read(&format!("{dir}/{file}")).unwrap_or_default());
            }
        }
    }
    let rules = found.values().flat_map(|bytes| bytes.split(|byte| *byte == b'\n'));
    for line in rules.filter_map(|line| std::str::from_utf8(line).ok()) {
        let mut words = line.split_ascii_whitespace();
        let enable = match words.next() {
            Some("enable") => true,
            Some("disable") => false,
            _ => continue,
        };
        let Some(pattern) = words.next() else { continue };
        let instances: Vec<&str> = if enable { words.collect() } else { Vec::new() };
        if matches(pattern, &instances, unit) {
            return enable;
        }
    }
    true
}

fn matches(pattern: &str, instances: &[&str], unit: &str) -> bool {
    if instances.is_empty() {
        return name::glob_matches(pattern, unit);
    }
    match name::kind(unit) {
        Some(NameKind::Template) => name::glob_matches(pattern, unit),
        Some(NameKind::Instance) => {
            name::template(unit).is_some_and(|template| name::glob_matches(pattern, &template))
                && name::instance(unit).is_some_and(|instance| instances.contains(&instance))
        }
        _ => false,
    }
}

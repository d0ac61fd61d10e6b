//! Presets: whether a unit should be enabled on a fresh machine (systemd.preset(5)), and `systemctl preset`.

use std::collections::BTreeMap;

use super::Operation;
use super::failure::Failure;
use super::find::{Finder, Follow};
use crate::unit::Files;
use crate::unit::name::{self, NameKind};

const DIRS: [&str; 4] = [
    "/etc/systemd/system-preset",
    "/run/systemd/system-preset",
    "/usr/local/lib/systemd/system-preset",
    "/usr/lib/systemd/system-preset",
];

/// Which of the two `systemctl preset` does (`--preset-mode=`, systemctl(1)).
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum PresetMode {
    /// It enables and disables.
    #[default]
    Full,
    /// It enables, and leaves alone what would be disabled.
    EnableOnly,
    /// The other way round.
    DisableOnly,
}

impl PresetMode {
    /// The mode of this name.
    pub fn from_name(name: &str) -> Option<Self> {
        match name {
            "full" => Some(PresetMode::Full),
            "enable-only" => Some(PresetMode::EnableOnly),
            "disable-only" => Some(PresetMode::DisableOnly),
            _ => None,
        }
    }
}

/// A line of a preset file that says something.
struct Rule<'a> {
    enable: bool,
    pattern: &'a str,
    /// The instances of a template that are enabled in its place.
    instances: Vec<&'a str>,
}

/// Where a line stands: its file, its number from 1 on, and the line without the blanks around it.
type Place<'a> = (String, usize, &'a str);

/// The lines of all preset files, in the order in which they count: by the names of the files, of which one in an
/// earlier directory hides those of the same name in later ones.
fn lines(files: &Files) -> impl Iterator<Item = Place<'_>> {
    let mut found: BTreeMap<String, (&str, &[u8])> = BTreeMap::new();
    for dir in DIRS {
        for (file, _) in files.list(dir) {
            if file.ends_with(".preset") && !found.contains_key(file) {
                let content = files.read(&format!("{dir}/{file}")).unwrap_or_default();
                found.insert(file.to_owned(), (dir, content));
            }
        }
    }
    found.into_iter().flat_map(|(file, (dir, content))| {
        let texts = content.split(|byte| *byte == b'\n').filter_map(|line| std::str::from_utf8(line).ok());
        let path = format!("{dir}/{file}");
        texts.enumerate().map(move |(index, text)| (path.clone(), index + 1, text.trim())).collect::<Vec<_>>()
    })
}

/// What a line says; `Err` if it says nothing that is known, `None` if it is a comment.
fn rule(line: &str) -> Result<Option<Rule<'_>>, ()> {
    if line.is_empty() || line.starts_with(['#', ';']) {
        return Ok(None);
    }
    let mut words = line.split_ascii_whitespace();
    let enable = match words.next() {
        Some("enable") => true,
        Some("disable") => false,
        _ => return Err(()),
    };
    let Some(pattern) = words.next() else { return Ok(None) };
    let instances = if enable { words.collect() } else { Vec::new() };
    Ok(Some(Rule { enable, pattern, instances }))
}

/// What the first rule that matches says of a unit; without a rule it is to be enabled.
fn decide<'a>(files: &'a Files, unit: &str) -> (bool, Vec<&'a str>) {
    let rules = lines(files).filter_map(|(.., line)| rule(line).ok().flatten());
    for Rule { enable, pattern, instances } in rules {
        if matches(pattern, &instances, unit) {
            return (enable, instances);
        }
    }
    (true, Vec::new())
}

/// Whether the preset of a unit is `enabled`: the first rule that matches says, and without a rule it is.
pub fn preset_enabled(files: &Files, unit: &str) -> bool {
    decide(files, unit).0
}

/// What systemctl says of lines in preset files that it cannot read.
pub fn complaints(files: &Files) -> Vec<String> {
    lines(files)
        .filter(|(.., line)| rule(line).is_err())
        .map(|(path, number, line)| format!("{path}:{number}: Couldn't parse line '{line}'. Ignoring."))
        .collect()
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

impl Operation {
    /// Disables what is to be disabled, then enables what is to be enabled.
    pub(super) fn preset(&mut self, names: &[String], mode: PresetMode) -> Result<(), Failure> {
        let before = self.disk.clone();
        let context = self.context.clone();
        let mut finder = Finder::new(&before, self.options.profile, &context);
        let (mut plus, mut minus) = (Vec::new(), Vec::new());
        for name in names {
            let found = finder.add(name, false).and_then(|start| finder.traverse(&start, Follow::All));
            let found = found.map_err(|failure| self.fail(failure, name, None))?;
            let (enable, instances) = decide(&before, &found);
            let template = name::kind(&found) == Some(NameKind::Template);
            match (enable, instances) {
                (false, _) => minus.push(found),
                (true, instances) if template && !instances.is_empty() => {
                    plus.extend(instances.iter().filter_map(|instance| name::with_instance(&found, instance)));
                }
                (true, _) => plus.push(name.clone()),
            }
        }
        if mode != PresetMode::EnableOnly && !minus.is_empty() {
            self.disable(&minus)?;
        }
        if mode != PresetMode::DisableOnly && !plus.is_empty() {
            self.enable_by(&plus, true)?;
        }
        Ok(())
    }
}

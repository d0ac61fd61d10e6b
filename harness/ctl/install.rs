//! Which unit files there are and whether they are enabled, read from the unit directories alone
//! (systemctl(1), "is-enabled").

use std::collections::BTreeSet;

use crate::unit::install::preset_enabled;
use crate::unit::name::{self, NameKind};
use crate::unit::{FileEntry, Files, LoadState, Profile, SEARCH_PATH, Unit, load};

use super::UnitFile;

/// The directories in which links enable units.
const CONFIG: [&str; 2] = ["/etc/systemd/system", "/run/systemd/system"];

/// What `is-enabled` prints of a name, `None` if there is no such file; `bad` is a file that cannot be read.
pub fn unit_file_state(files: &Files, unit: &str, profile: Profile) -> Option<&'static str> {
    let path = find(files, unit)?;
    let runtime = path.starts_with("/run/");
    if is_mask(files, &path) {
        return Some(if runtime { "masked-runtime" } else { "masked" });
    }
    let dir = path.rsplit_once('/').map_or("", |(dir, _)| dir);
    let linked = match files.entries.get(&path) {
        Some(FileEntry::Symlink { .. }) => {
            let target = files.canonical(&path).filter(|target| files.read(target).is_some())?;
            let (dir, file) = target.rsplit_once('/')?;
            if SEARCH_PATH.contains(&dir) && file != unit && name::template(unit).as_deref() != Some(file) {
                return Some("alias");
            }
            !SEARCH_PATH.contains(&dir)
        }
        _ if dir.contains("/generator") => return Some("generated"),
        _ if dir.ends_with("/transient") => return Some("transient"),
        _ => false,
    };
    let def = definition(files, unit, profile);
    if def.load_state == LoadState::Error {
        return Some("bad");
    }
    let install = &def.install;
    let rules = [&install.wanted_by, &install.required_by, &install.upheld_by, &install.alias];
    Some(match links(files, unit, &def) {
        Links { enabled: true, .. } => "enabled",
        Links { enabled_runtime: true, .. } => "enabled-runtime",
        _ if linked && runtime => "linked-runtime",
        _ if linked => "linked",
        Links { other_names: true, .. } => "indirect",
        _ if rules.iter().any(|list| !list.is_empty()) => "disabled",
        _ if !install.also.is_empty() => "indirect",
        _ => "static",
    })
}

/// All unit files, each with its state.
pub fn unit_files(files: &Files, profile: Profile) -> Vec<UnitFile> {
    let mut names: BTreeSet<&str> = BTreeSet::new();
    for path in files.entries.keys() {
        if let Some((dir, file)) = path.rsplit_once('/')
            && SEARCH_PATH.contains(&dir)
            && name::is_valid(file)
        {
            names.insert(file);
        }
    }
    let one = |unit: &str| {
        // What hangs in the air is listed too.
        let state = unit_file_state(files, unit, profile).unwrap_or("bad");
        let has_preset = !matches!(state, "alias" | "static" | "generated" | "transient");
        let preset = has_preset.then(|| if preset_enabled(files, unit) { "enabled" } else { "disabled" }.to_owned());
        UnitFile { name: unit.to_owned(), state: state.to_owned(), preset }
    };
    names.into_iter().map(one).collect()
}

/// What the unit's file says. A template is no unit to load; its text is read alone.
fn definition(files: &Files, unit: &str, profile: Profile) -> Unit {
    match find(files, unit).filter(|_| name::kind(unit) == Some(NameKind::Template)) {
        Some(path) => Unit::parse(unit, files.read(&path).unwrap_or_default(), profile),
        None => load(files, unit, profile),
    }
}

/// The first file of that name, or of its template.
fn find(files: &Files, unit: &str) -> Option<String> {
    let first = |unit: &str| {
        let paths = SEARCH_PATH.iter().map(|dir| format!("{dir}/{unit}"));
        paths.into_iter().find(|path| files.entries.contains_key(path))
    };
    first(unit).or_else(|| name::template(unit).and_then(|template| first(&template)))
}

fn is_mask(files: &Files, path: &str) -> bool {
    match files.entries.get(path) {
        Some(FileEntry::Symlink { target }) => target == "/dev/null",
        Some(FileEntry::Regular { content, .. }) => content.is_empty(),
        None => false,
    }
}

/// What links there are to a unit in the directories where an administrator makes them.
#[derive(Default)]
struct Links {
    /// One that `enable` would make.
    enabled: bool,
    /// The same below /run.
    enabled_runtime: bool,
    /// One by a name that `enable` would not give it.
    other_names: bool,
}

fn links(files: &Files, unit: &str, def: &Unit) -> Links {
    // What stands for a template is the instance that `enable` would make of it.
    let default = def.install.default_instance.as_deref().filter(|_| name::kind(unit) == Some(NameKind::Template));
    let default = default.and_then(|instance| name::with_instance(unit, instance));
    let mut found = Links::default();
    for dir in CONFIG {
        let prefix = format!("{dir}/");
        for (path, entry) in files.entries.range(prefix.clone()..) {
            let Some(place) = path.strip_prefix(&prefix) else { break };
            let FileEntry::Symlink { target } = entry else { continue };
            let points_here = target.rsplit('/').next() == Some(unit);
            let known = match place.split_once('/') {
                Some((owner, file)) => {
                    let wants = [".wants", ".requires", ".upholds"].iter().any(|suffix| owner.ends_with(suffix));
                    if !wants {
                        continue;
                    }
                    file == unit || default.as_deref() == Some(file)
                }
                None if place == unit => continue,
                None => points_here && def.install.alias.iter().any(|alias| alias == place),
            };
            match (known, dir == CONFIG[0]) {
                (true, true) => found.enabled = true,
                (true, false) => found.enabled_runtime = true,
                (false, _) => found.other_names |= points_here,
            }
        }
    }
    found
}

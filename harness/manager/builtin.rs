//! The units that every machine has without anybody writing them, as far as units of services lean on them
//! (systemd.special(7)).

use std::borrow::Cow;

use crate::unit::{FileEntry, Files, LoadState, Unit};

/// Name, description, what it requires, what it wants, what it starts after.
type Row = (&'static str, &'static str, &'static [&'static str], &'static [&'static str], &'static [&'static str]);

const ROWS: &[Row] = &[
    ("graphical.target", "Graphical Interface", &["multi-user.target"], &[], &["multi-user.target"]),
    ("multi-user.target", "Multi-User System", &["basic.target"], &[], &["basic.target"]),
    (
        "basic.target",
        "Basic System",
        &["sysinit.target"],
        &["sockets.target", "timers.target", "paths.target", "slices.target"],
        &["sysinit.target", "sockets.target", "paths.target", "slices.target"],
    ),
    (
        "sysinit.target",
        "System Initialization",
        &[],
        &["systemd-journald.service", "local-fs.target", "swap.target"],
        &["systemd-journald.service", "local-fs.target", "swap.target"],
    ),
    ("sockets.target", "Socket Units", &[], &[], &["sysinit.target"]),
    ("timers.target", "Timer Units", &[], &[], &["sysinit.target"]),
    ("paths.target", "Path Units", &[], &[], &["sysinit.target"]),
    ("slices.target", "Slice Units", &[], &["system.slice"], &[]),
    ("local-fs.target", "Local File Systems", &[], &[], &[]),
    ("local-fs-pre.target", "Preparation for Local File Systems", &[], &[], &[]),
    ("remote-fs.target", "Remote File Systems", &[], &[], &[]),
    ("remote-fs-pre.target", "Preparation for Remote File Systems", &[], &[], &[]),
    ("swap.target", "Swaps", &[], &[], &[]),
    ("network.target", "Network", &[], &[], &["network-pre.target"]),
    ("network-pre.target", "Preparation for Network", &[], &[], &[]),
    ("network-online.target", "Network is Online", &[], &[], &["network.target"]),
    ("nss-lookup.target", "Host and Network Name Lookups", &[], &[], &[]),
    ("nss-user-lookup.target", "User and Group Name Lookups", &[], &[], &[]),
    ("time-sync.target", "System Time Synchronized", &[], &[], &[]),
    ("time-set.target", "System Time Set", &[], &[], &[]),
    ("rescue.target", "Rescue Mode", &[], &[], &[]),
    ("emergency.target", "Emergency Mode", &[], &[], &[]),
    ("shutdown.target", "System Shutdown", &[], &[], &[]),
    ("umount.target", "Unmount All Filesystems", &[], &[], &[]),
    ("final.target", "Late Shutdown Services", &[], &[], &[]),
    ("reboot.target", "System Reboot", &[], &[], &[]),
    ("poweroff.target", "System Power Off", &[], &[], &[]),
    ("system.slice", "System Slice", &["-.slice"], &[], &["-.slice"]),
    ("user.slice", "User and Session Slice", &["-.slice"], &[], &["-.slice"]),
    ("-.slice", "Root Slice", &[], &[], &[]),
    ("-.mount", "Root Mount", &[], &[], &[]),
    ("systemd-journald.socket", "Journal Socket", &[], &[], &[]),
    ("systemd-journald.service", "Journal Service", &[], &[], &[]),
    ("dbus.socket", "D-Bus System Message Bus Socket", &[], &[], &[]),
];

/// Units that are up from the first moment on and never go down.
const ALWAYS_UP: &[&str] = &[
    "system.slice",
    "user.slice",
    "-.slice",
    "-.mount",
    "systemd-journald.socket",
    "systemd-journald.service",
    "dbus.socket",
];

/// Targets that one may isolate.
const ISOLATED: &[&str] =
    &["graphical.target", "multi-user.target", "rescue.target", "emergency.target", "reboot.target", "poweroff.target"];

/// What the machine boots into (Debian's choice).
pub(crate) const DEFAULT_TARGET: &str = "graphical.target";

/// What the machine boots into: what `default.target` is a link to.
pub(crate) fn default_target(files: &Files) -> String {
    let links = crate::unit::SEARCH_PATH.iter().map(|dir| format!("{dir}/{DEFAULT}"));
    let file = |link: String| match files.entries.get(&link)? {
        // One of the distribution's has no file here.
        FileEntry::Symlink { target } => Some(files.canonical(&link).map_or_else(|| target.clone(), Cow::into_owned)),
        FileEntry::Regular { .. } => None,
    };
    let file = links.filter_map(file).next();
    let name = file.as_deref().and_then(|path| path.rsplit('/').next());
    name.unwrap_or(DEFAULT_TARGET).to_owned()
}

/// The name by which one is found.
const DEFAULT: &str = "default.target";

/// The unit that the distribution ships under this name.
pub(super) fn unit(name: &str) -> Option<Unit> {
    let (name, description, requires, wants, after) = ROWS.iter().find(|row| row.0 == name)?;
    let list = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Some(Unit {
        name: (*name).to_owned(),
        load_state: LoadState::Loaded,
        description: Some((*description).to_owned()),
        fragment_path: name.ends_with(".target").then(|| format!("/lib/systemd/system/{name}")),
        requires: list(requires),
        wants: list(wants),
        after: list(after),
        allow_isolate: ISOLATED.contains(name),
        ignore_on_isolate: is_always_up(name),
        ..Unit::default()
    })
}

/// The unit with its other names.
pub(super) fn with_aliases(unit: Unit, files: &Files) -> Unit {
    let aliases = if default_target(files) == unit.name { vec![DEFAULT.to_owned()] } else { Vec::new() };
    Unit { aliases, ..unit }
}

/// The name that an alias of the distribution stands for.
pub(super) fn resolve(name: &str, files: &Files) -> String {
    if name == DEFAULT { default_target(files) } else { name.to_owned() }
}

/// Whether the unit is up without ever having been started.
pub(crate) fn is_always_up(name: &str) -> bool {
    ALWAYS_UP.contains(&name) || name.ends_with(".slice") || name.ends_with(".mount") || name.ends_with(".device")
}

/// The unit directories with a file for each unit that the distribution ships, so that nobody takes those for missing.
pub(super) fn with_files_of_the_distribution(files: &Files) -> Files {
    let mut all = files.clone();
    for (name, ..) in ROWS {
        let entry = FileEntry::Regular { content: b"[Unit]\n".to_vec(), generation: 0 };
        all.entries.entry(format!("/usr/lib/systemd/system/{name}")).or_insert(entry);
    }
    let entry = FileEntry::Symlink { target: DEFAULT_TARGET.to_owned() };
    all.entries.entry(format!("/usr/lib/systemd/system/{DEFAULT}")).or_insert(entry);
    all
}

//! What a machine cannot do as a unit says, in a drop-in for each: durations on a clock that runs N times as fast, and
//! users where there is but one.

use std::fmt::Write as _;
use std::fs;
use std::io;
use std::path::Path;

use crate::time::Span;
use crate::unit::{FileEntry, Files, Profile, Service, Unit, load};

/// Sorts behind what people call theirs.
const DROP_IN: &str = "zz-relapse-clock.conf";
const UNITS: &str = "/etc/systemd/system";

/// Lines of `[Manager]`: systemd's own defaults (systemd-system.conf(5)), N times as fast.
pub(super) fn manager(factor: u64) -> Vec<String> {
    if factor == 1 {
        return Vec::new();
    }
    [
        ("DefaultTimeoutStartSec", Span::from_secs(90)),
        ("DefaultTimeoutStopSec", Span::from_secs(90)),
        ("DefaultRestartSec", Span::from_millis(100)),
        ("DefaultStartLimitIntervalSec", Span::from_secs(10)),
    ]
    .map(|(name, span)| format!("{name}={}us", span.as_micros() / factor))
    .to_vec()
}

/// What the units' files say of durations.
#[derive(Debug)]
pub(super) struct Scale {
    factor: u64,
    profile: Profile,
    /// Whether the machine knows users. In a user namespace of somebody without privileges there is but one.
    users: bool,
}

impl Scale {
    pub(super) fn new(factor: u64, profile: Profile) -> Scale {
        Scale { factor, profile, users: nix::unistd::geteuid().is_root() }
    }

    /// The unit as its files say, without the drop-ins of ours.
    pub(super) fn unit(&self, root: &Path, name: &str) -> io::Result<Unit> {
        Ok(load(&files(root)?, name, self.profile))
    }

    /// The names of the machine's own units.
    pub(super) fn names(root: &Path) -> io::Result<Vec<String>> {
        let files = files(root)?;
        Ok(names(&files).map(str::to_owned).collect())
    }

    /// Writes the drop-ins anew where the files say something else now.
    pub(super) fn write(&self, root: &Path) -> io::Result<()> {
        if self.factor == 1 && self.users {
            return Ok(());
        }
        let files = files(root)?;
        for name in names(&files) {
            let text = self.drop_in(&load(&files, name, self.profile));
            let directory = root.join(UNITS.trim_start_matches('/')).join(format!("{name}.d"));
            let path = directory.join(DROP_IN);
            if fs::read_to_string(&path).unwrap_or_default() == text {
                continue;
            }
            fs::create_dir_all(&directory)?;
            fs::write(path, text)?;
        }
        Ok(())
    }

    /// Every duration that is not the default one, N times as fast.
    fn drop_in(&self, unit: &Unit) -> String {
        let scaled = |name: &str, span: Span, default: Span| {
            let says = self.factor > 1 && span != default && !span.is_infinite() && !span.is_zero();
            if says { format!("{name}={}us\n", span.as_micros() / self.factor) } else { String::new() }
        };
        let limit = unit.start_limit_interval_sec.unwrap_or(Span::ZERO);
        let mut text = String::new();
        for (section, lines) in [
            ("Unit", scaled("StartLimitIntervalSec", limit, Span::ZERO)),
            ("Service", unit.service.as_ref().map_or_else(String::new, |service| self.service(service, scaled))),
        ] {
            if !lines.is_empty() {
                let _ = write!(text, "[{section}]\n{lines}");
            }
        }
        text
    }

    fn service(&self, service: &Service, scaled: impl Fn(&str, Span, Span) -> String) -> String {
        let default = Service::default();
        [
            ("RestartSec", service.restart_sec, default.restart_sec),
            ("RestartMaxDelaySec", service.restart_max_delay_sec, default.restart_max_delay_sec),
            ("TimeoutStartSec", service.timeout_start_sec, default.timeout_start_sec),
            ("TimeoutStopSec", service.timeout_stop_sec, default.timeout_stop_sec),
            ("TimeoutAbortSec", service.timeout_abort_sec.unwrap_or(Span::ZERO), Span::ZERO),
            ("RuntimeMaxSec", service.runtime_max_sec, default.runtime_max_sec),
            ("WatchdogSec", service.watchdog_sec, default.watchdog_sec),
        ]
        .map(|(name, span, default)| scaled(name, span, default))
        .concat()
            + if self.users || service.user.is_none() && service.group.is_none() { "" } else { "User=\nGroup=\n" }
    }
}

/// Services and sockets among the units.
fn names(files: &Files) -> impl Iterator<Item = &str> {
    let names = files.entries.keys().filter_map(|path| path.strip_prefix(UNITS)?.strip_prefix('/'));
    names.filter(|name| !name.contains('/') && (name.ends_with(".service") || name.ends_with(".socket")))
}

/// The unit files of the machine's own, but for our drop-ins.
fn files(root: &Path) -> io::Result<Files> {
    let mut files = Files::default();
    let mut open = vec![UNITS.to_owned()];
    while let Some(directory) = open.pop() {
        for entry in fs::read_dir(root.join(directory.trim_start_matches('/')))? {
            let entry = entry?;
            let name = entry.file_name().to_string_lossy().into_owned();
            let path = format!("{directory}/{name}");
            let meta = entry.metadata()?;
            if meta.is_dir() {
                open.push(path);
            } else if meta.is_symlink() {
                let target = fs::read_link(entry.path())?.to_string_lossy().into_owned();
                files.entries.insert(path, FileEntry::Symlink { target });
            } else if name != DROP_IN {
                files.entries.insert(path, FileEntry::Regular { content: fs::read(entry.path())?, generation: 1 });
            }
        }
    }
    Ok(files)
}

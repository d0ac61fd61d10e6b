//! How a unit is logged, and the names of syslog's levels and facilities (syslog(3), journalctl(1)).

use super::Errno;
use super::number;

/// How lines of output and messages about the unit are logged (systemd.exec(5), "Logging and Standard Input/Output").
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Syslog {
    /// SyslogLevel=: the priority of a line that does not say its own.
    pub level: u8,
    /// SyslogFacility=.
    pub facility: u8,
    /// SyslogLevelPrefix=: whether `<N>` before a line is its priority.
    pub level_prefix: bool,
    /// LogLevelMax=: what is less important is not logged.
    pub level_max: Option<u8>,
}

impl Syslog {
    /// Whether anything of this priority is logged.
    pub fn logs(&self, priority: u8) -> bool {
        self.level_max.is_none_or(|max| priority <= max)
    }
}

impl Default for Syslog {
    fn default() -> Self {
        Self { level: 6, facility: 3, level_prefix: true, level_max: None }
    }
}

/// By number.
pub const LEVELS: [&str; 8] = ["emerg", "alert", "crit", "err", "warning", "notice", "info", "debug"];

/// By number; those without a name are taken as numbers alone.
pub const FACILITIES: [&str; 24] = [
    "kern", "user", "mail", "daemon", "auth", "syslog", "lpr", "news", "uucp", "cron", "authpriv", "ftp", "", "", "",
    "", "local0", "local1", "local2", "local3", "local4", "local5", "local6", "local7",
];

/// The largest facility that fits beside a level.
const MOST: i32 = 127;

fn find(text: &str, names: &[&str], most: i32) -> Result<u8, Errno> {
    if let Some(place) = names.iter().position(|name| !name.is_empty() && *name == text) {
        return u8::try_from(place).map_err(|_| Errno::ERANGE);
    }
    let number = number::signed(text).map_err(|_| Errno::EINVAL)?;
    u8::try_from(number).ok().filter(|_| number <= most).ok_or(Errno::EINVAL)
}

/// The level of this name or number.
pub(super) fn level(text: &str) -> Result<u8, Errno> {
    find(text, &LEVELS, 7)
}

/// The facility of this name or number.
pub(super) fn facility(text: &str) -> Result<u8, Errno> {
    find(text, &FACILITIES, MOST)
}

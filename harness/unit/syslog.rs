//! The names of syslog's levels and facilities (syslog(3), journalctl(1)).

use super::number::{self, Errno};

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
        return u8::try_from(place).map_err(|_| Errno::Range);
    }
    let number = number::signed(text).map_err(|_| Errno::Invalid)?;
    u8::try_from(number).ok().filter(|_| number <= most).ok_or(Errno::Invalid)
}

/// The level of this name or number.
pub(super) fn level(text: &str) -> Result<u8, Errno> {
    find(text, &LEVELS, 7)
}

/// The facility of this name or number.
pub(super) fn facility(text: &str) -> Result<u8, Errno> {
    find(text, &FACILITIES, MOST)
}

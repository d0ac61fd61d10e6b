//! Exit statuses: names, classes and how systemd prints them (systemd.exec(5), "Process Exit Codes"; SPEC 10).

use super::number;
use super::signal;
use super::{Errno, ExitStatusSet};

/// Where the meaning of an exit status comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Class {
    /// The C library: 0 and 1.
    Libc,
    /// The Linux Standard Base for init scripts: 2 to 7.
    Lsb,
    /// sysexits.h: 64 to 78.
    Bsd,
    /// systemd itself, before the program runs: 200 to 255.
    Systemd,
}

impl Class {
    /// The spelling of `systemd-analyze exit-status`.
    pub const fn as_str(self) -> &'static str {
        match self {
            Class::Libc => "libc",
            Class::Lsb => "LSB",
            Class::Bsd => "BSD",
            Class::Systemd => "systemd",
        }
    }
}

const LOW: [&str; 8] = [
    "SUCCESS",
    "FAILURE",
    "INVALIDARGUMENT",
    "NOTIMPLEMENTED",
    "NOPERMISSION",
    "NOTINSTALLED",
    "NOTCONFIGURED",
    "NOTRUNNING",
];
/// From 64.
const SYSEXITS: [&str; 15] = [
    "USAGE",
    "DATAERR",
    "NOINPUT",
    "NOUSER",
    "NOHOST",
    "UNAVAILABLE",
    "SOFTWARE",
    "OSERR",
    "OSFILE",
    "CANTCREAT",
    "IOERR",
    "TEMPFAIL",
    "PROTOCOL",
    "NOPERM",
    "CONFIG",
];
/// From 200; an empty name is a number that is not in use.
const SYSTEMD: [&str; 45] = [
    "CHDIR",
    "NICE",
    "FDS",
    "EXEC",
    "MEMORY",
    "LIMITS",
    "OOM_ADJUST",
    "SIGNAL_MASK",
    "STDIN",
    "STDOUT",
    "CHROOT",
    "IOPRIO",
    "TIMERSLACK",
    "SECUREBITS",
    "SETSCHEDULER",
    "CPUAFFINITY",
    "GROUP",
    "USER",
    "CAPABILITIES",
    "CGROUP",
    "SETSID",
    "CONFIRM",
    "STDERR",
    "",
    "PAM",
    "NETWORK",
    "NAMESPACE",
    "NO_NEW_PRIVILEGES",
    "SECCOMP",
    "SELINUX_CONTEXT",
    "PERSONALITY",
    "APPARMOR",
    "ADDRESS_FAMILIES",
    "RUNTIME_DIRECTORY",
    "",
    "CHOWN",
    "SMACK_PROCESS_LABEL",
    "KEYRING",
    "STATE_DIRECTORY",
    "CACHE_DIRECTORY",
    "LOGS_DIRECTORY",
    "CONFIGURATION_DIRECTORY",
    "NUMA_POLICY",
    "CREDENTIALS",
    "BPF",
];

/// The name and class of an exit status, if it has one.
pub fn name(status: u8) -> Option<(&'static str, Class)> {
    let index = usize::from(status);
    let (name, class) = match status {
        0..=1 => (LOW[index], Class::Libc),
        2..=7 => (LOW[index], Class::Lsb),
        64..=78 => (SYSEXITS[index - 64], Class::Bsd),
        200..=244 => (SYSTEMD[index - 200], Class::Systemd),
        255 => ("EXCEPTION", Class::Systemd),
        _ => ("", Class::Libc),
    };
    (!name.is_empty()).then_some((name, class))
}

/// The exit status of a name (`TEMPFAIL`) or a number from 0 to 255.
pub fn from_name(text: &str) -> Option<u8> {
    if text.starts_with(|c: char| c.is_ascii_uppercase()) {
        let tables: [(&[&str], usize); 4] = [(&LOW, 0), (&SYSEXITS, 64), (&SYSTEMD, 200), (&["EXCEPTION"], 255)];
        let status = tables
            .iter()
            .find_map(|(names, first)| names.iter().position(|name| *name == text).map(|index| first + index));
        return status.and_then(|status| u8::try_from(status).ok());
    }
    number::unsigned(text).ok().and_then(|value| u8::try_from(value).ok())
}

/// `STATUS/NAME` as in the journal, where every class counts: `1/FAILURE`, `7/NOTRUNNING`, `23/n/a`.
pub fn journal_code(status: u8) -> String {
    format!("{status}/{}", name(status).map_or("n/a", |(name, _)| name))
}

/// `NUMBER/NAME` of a signal as in the journal: `9/KILL`.
pub fn journal_signal(number: i32) -> String {
    format!("{number}/{}", signal::name(number))
}

/// The status as `systemctl status` shows it, which names only libc's and systemd's: `1/FAILURE`, `7`, `203/EXEC`.
pub fn status_code(status: u8) -> String {
    match name(status) {
        Some((name, Class::Libc | Class::Systemd)) => format!("{status}/{name}"),
        _ => status.to_string(),
    }
}

impl ExitStatusSet {
    /// Adds what a word of `SuccessExitStatus=` or its siblings names, if it names anything. Numbers are exit codes,
    /// never signals.
    ///
    /// # Errors
    ///
    /// What is wrong with it as a signal, which is what is tried last.
    pub fn insert(&mut self, word: &str) -> Result<(), Errno> {
        fn add<T: Ord>(sorted: &mut Vec<T>, value: T) {
            if let Err(place) = sorted.binary_search(&value) {
                sorted.insert(place, value);
            }
        }
        if let Some(code) = from_name(word) {
            add(&mut self.codes, code);
        } else if let Some(number) = signal::from_name(word) {
            add(&mut self.signals, number);
        } else {
            return signal::parse(word).map(drop);
        }
        Ok(())
    }

    /// Whether nothing is in it.
    pub fn is_empty(&self) -> bool {
        self.codes.is_empty() && self.signals.is_empty()
    }
}

impl std::fmt::Display for ExitStatusSet {
    /// `1 2 75 KILL`, as `systemctl show` prints the property.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let codes = self.codes.iter().map(u8::to_string);
        let signals = self.signals.iter().map(|number| signal::name(*number));
        f.write_str(&codes.chain(signals).collect::<Vec<_>>().join(" "))
    }
}

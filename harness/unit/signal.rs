//! Signal names and numbers of x86-64 Linux (signal(7)), spelled as systemd spells them.

use super::Errno;
use super::number;

/// Index = number; without the `SIG` prefix, as systemd prints them.
const NAMES: [&str; 32] = [
    "", "HUP", "INT", "QUIT", "ILL", "TRAP", "ABRT", "BUS", "FPE", "KILL", "USR1", "SEGV", "USR2", "PIPE", "ALRM",
    "TERM", "STKFLT", "CHLD", "CONT", "STOP", "TSTP", "TTIN", "TTOU", "URG", "XCPU", "XFSZ", "VTALRM", "PROF", "WINCH",
    "IO", "PWR", "SYS",
];
/// The number of HUP.
pub const SIGHUP: i32 = 1;
/// The number of INT.
pub const SIGINT: i32 = 2;
/// The number of KILL.
pub const SIGKILL: i32 = 9;
/// The number of PIPE.
pub const SIGPIPE: i32 = 13;
/// The number of TERM.
pub const SIGTERM: i32 = 15;
/// The number of CONT.
pub const SIGCONT: i32 = 18;

/// The first real-time signal a program may use with glibc.
const RTMIN: i32 = 34;
/// The last one.
const RTMAX: i32 = 64;

/// The name without `SIG` (`TERM`, `RTMIN+3`), or the number if it has none.
pub fn name(number: i32) -> String {
    match usize::try_from(number).ok().and_then(|index| NAMES.get(index)) {
        Some(name) if !name.is_empty() => (*name).to_owned(),
        _ if (RTMIN..=RTMAX).contains(&number) => format!("RTMIN+{}", number - RTMIN),
        _ => number.to_string(),
    }
}

/// The number of a signal given as `SIGTERM`, `TERM`, `15`, `RTMIN+1` or `RTMAX-2`; case sensitive.
pub fn from_name(text: &str) -> Option<i32> {
    parse(text).ok()
}

/// As [`from_name`], with the error number that ends up in a message.
pub(crate) fn parse(text: &str) -> Result<i32, Errno> {
    if let Ok(number) = number::signed(text) {
        return if (1..=RTMAX).contains(&number) { Ok(number) } else { Err(Errno::ERANGE) };
    }
    let text = text.strip_prefix("SIG").unwrap_or(text);
    if let Some(index) = NAMES.iter().position(|name| !name.is_empty() && *name == text) {
        return i32::try_from(index).map_err(|_| Errno::ERANGE);
    }
    let offset = |rest: &str, sign: char| match rest {
        "" => Ok(0),
        rest if rest.starts_with(sign) => match number::signed(&rest[1..])? {
            offset if (0..=RTMAX - RTMIN).contains(&offset) => Ok(offset),
            _ => Err(Errno::ERANGE),
        },
        _ => Err(Errno::EINVAL),
    };
    if let Some(rest) = text.strip_prefix("RTMIN") {
        Ok(RTMIN + offset(rest, '+')?)
    } else if let Some(rest) = text.strip_prefix("RTMAX") {
        Ok(RTMAX - offset(rest, '-')?)
    } else {
        Err(Errno::EINVAL)
    }
}

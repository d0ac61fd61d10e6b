//! Moments of the incident on the command line of the machine's own journalctl, whose stamps are the host's.

use crate::journal::parse_timestamp;
use crate::sys::real_time;
use crate::time::IncidentTime;

/// Options that take a moment (journalctl(1)).
const OPTIONS: [(&str, &str); 2] = [("--since", "-S"), ("--until", "-U")];

/// The arguments with such moments as the host's; `now` is the incident's, `scale` incident microseconds per real one, times
/// 1000. What is no moment stays, for journalctl to complain about.
pub(super) fn on_the_host(args: &[String], now: IncidentTime, scale: u64) -> Vec<String> {
    let mut out = Vec::with_capacity(args.len());
    let mut is_value = false;
    for arg in args {
        let moment = |text: &str| host(text, now, scale).unwrap_or_else(|| text.to_owned());
        let attached = OPTIONS.iter().find_map(|(long, short)| {
            let value = arg.strip_prefix(long).and_then(|rest| rest.strip_prefix('='));
            let value = value.map(|value| (format!("{long}="), value));
            value.or_else(|| Some(((*short).to_owned(), arg.strip_prefix(short).filter(|rest| !rest.is_empty())?)))
        });
        out.push(match attached {
            _ if is_value => moment(arg),
            Some((option, value)) => format!("{option}{}", moment(value)),
            None => arg.clone(),
        });
        is_value = !is_value && OPTIONS.iter().any(|(long, short)| arg == long || arg == short);
    }
    out
}

fn host(text: &str, now: IncidentTime, scale: u64) -> Option<String> {
    let moment = parse_timestamp(text, now).ok()?;
    let apart = |later: IncidentTime, earlier: IncidentTime| {
        later.since(earlier).as_micros().saturating_mul(1000).checked_div(scale).unwrap_or_default()
    };
    let at = real_time().saturating_sub(apart(now, moment.min(now))).saturating_add(apart(moment.max(now), now));
    Some(format!("@{}.{:06}", at / 1_000_000, at % 1_000_000))
}

//! Whether a unit's own start limit will ever end its loop: what the embedded manager makes of its settings.

use super::{Digest, Service};
use crate::manager::Exit;
use crate::time::Span;
use crate::timeline::signal_number;
use crate::unit::Profile;
use crate::world::{Ends, Forecast};

/// What becomes of the loop if nobody does anything.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Limit {
    /// It goes on; the limit bites only where a cycle takes less than that, `None` if there is no limit.
    Never(Option<Span>),
    /// The limit ends it after so many starts in a row.
    After(u32),
    /// It is not restarted after such an end at all.
    NotRestarted,
}

/// The manager looks no longer than that.
const LONGEST: Span = Span::from_secs(7 * 86_400);

/// Predicts it from a service's settings, what its starts take and how they end.
pub fn limit(service: &Service, digest: Option<&Digest>, version: Option<u16>) -> Limit {
    let attempt = digest.and_then(Digest::attempt).or_else(|| {
        let (started, exited) = (service.started?, service.exited?);
        (exited >= started).then(|| exited.since(started))
    });
    let micros =
        |span: Span| if span.is_infinite() { "infinity".to_owned() } else { format!("{}us", span.as_micros()) };
    let mut text = format!(
        "[Unit]\nStartLimitIntervalSec={}\nStartLimitBurst={}\n[Service]\nExecStart=/x\nRestart={}\nRestartSec={}\n",
        micros(service.limit_interval),
        service.limit_burst,
        service.restart,
        micros(service.restart_delay),
    );
    if let Some(longest) = service.restart_max_delay.filter(|_| service.restart_steps > 0) {
        text.push_str(&format!("RestartSteps={}\nRestartMaxDelaySec={}\n", service.restart_steps, micros(longest)));
    }
    // Until a limit that ever bites has bitten: after as many starts as it counts, and while it counts them.
    let delay = service.restart_max_delay.unwrap_or(service.restart_delay).saturating_add(attempt.unwrap_or_default());
    let cycles = u64::from(service.limit_burst.min(1_000)) + u64::from(service.restart_steps.min(1_000)) + 5;
    let cycle = delay.saturating_add(Span::from_secs(1));
    let looked_at = cycle.saturating_mul(cycles).saturating_add(if service.limit_interval.is_infinite() {
        Span::ZERO
    } else {
        service.limit_interval
    });
    let predicted = Forecast::of("x.service", &text)
        .profile(version.map_or_else(Profile::default, Profile::of_version))
        .starts_in(attempt.unwrap_or_default())
        .ends(Ends::With(last_end(service, digest)))
        .run_for(looked_at.min(LONGEST));
    if predicted.goes_on() {
        let (interval, burst) = (service.limit_interval.as_micros(), u64::from(service.limit_burst));
        return Limit::Never((interval > 0 && burst > 0).then(|| Span::from_micros(interval / burst.max(1))));
    }
    match predicted.limited_at {
        Some(_) => Limit::After(predicted.starts),
        None => Limit::NotRestarted,
    }
}

/// How the last start ended.
fn last_end(service: &Service, digest: Option<&Digest>) -> Exit {
    let code = |status: i32| Exit::Code(u8::try_from(status).unwrap_or(1));
    match service.exec_main_code {
        1 => code(service.exec_main_status),
        2 | 3 => Exit::Signal(service.exec_main_status),
        // It runs, or has not run: what the journal says of the one before.
        _ => match digest.and_then(|digest| digest.ends.last()) {
            Some((_, how, status)) if how == "exited" => code(status.parse().unwrap_or(1)),
            Some((_, _, signal)) => Exit::Signal(signal_number(signal).unwrap_or(9)),
            None if digest.is_some_and(|digest| !digest.successes.is_empty()) => Exit::Code(0),
            None => Exit::Code(1),
        },
    }
}

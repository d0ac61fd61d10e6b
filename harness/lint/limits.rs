//! Start limits that never end anything.

use super::course::{ending, outcome};
use super::rules;
use super::sheet::Sheet;
use crate::time::Span;
use crate::timeline::brief;
use crate::unit::Restart;

const INTERVALS: [&str; 2] = ["StartLimitIntervalSec", "StartLimitInterval"];

pub(super) fn look(sheet: &mut Sheet<'_>) {
    let Some(service) = sheet.service() else { return };
    if service.restart == Restart::No {
        return;
    }
    let growing = service.restart_steps > 0 && !service.restart_max_delay_sec.is_infinite();
    let delay = service.restart_sec;
    let last_delay = if growing { service.restart_max_delay_sec } else { delay };
    let interval = sheet.unit.start_limit_interval_sec.unwrap_or(Span::from_secs(10));
    let burst = sheet.unit.start_limit_burst.unwrap_or(5);
    let explicit = sheet
        .decisive(&["Unit", "Service"], &INTERVALS)
        .or_else(|| sheet.decisive(&["Unit", "Service"], &["StartLimitBurst"]))
        .map(|(spot, _)| spot);
    let exit = sheet.exit();
    let course = sheet.course(exit);
    if !course.goes_on() {
        return;
    }
    let ends = format!("if its program {}, {}", ending(exit), outcome(&course));
    if interval.is_zero() || burst == 0 {
        if let Some(spot) = explicit {
            let message = format!("the start limit is off: {ends}");
            sheet.found(&rules::NO_LIMIT, spot, message, "no limit", None);
        }
        return;
    }
    // With a start-up that is known, the manager says it; without, no cycle is shorter than the delay.
    let never = match sheet.options.starts_in {
        Some(_) => burst <= 1_000,
        None => sheet.least(burst) >= interval,
    };
    if !never || interval.is_infinite() {
        return;
    }
    let below = brief(Span::from_micros(interval.as_micros() / u64::from(burst)));
    let which = if explicit.is_some() { "its" } else { "the default" };
    let cycle = match sheet.options.starts_in {
        Some(starts_in) => format!(
            "with a start-up of {} a cycle takes {}",
            brief(starts_in),
            course.period.map(|(least, _, _)| brief(least)).unwrap_or_default()
        ),
        None if growing => format!("RestartSec={} grows up to {}", brief(delay), brief(last_delay)),
        None => format!("RestartSec={} alone makes a cycle of {}", brief(delay), brief(delay)),
    };
    let message = format!(
        "{which} start limit of {burst} starts in {} can never end a loop of this unit: {cycle}, and it ends only cycles of less than {below}; {ends}",
        brief(interval)
    );
    let starts_in = sheet.options.starts_in.unwrap_or(Span::from_secs(5));
    let fix = format!(
        "[Unit]\nStartLimitIntervalSec={}\nStartLimitBurst={burst}",
        roomy(last_delay.as_micros().saturating_add(starts_in.as_micros()), burst)
    );
    let spot = explicit.unwrap_or_else(|| sheet.place(&["RestartSec", "Restart"]));
    sheet.found(&rules::LIMIT_NEVER_BITES, spot, message, "too long for the start limit", Some(fix));
}

/// An interval in which so many cycles have room twice, in whole seconds that people write.
fn roomy(cycle: u64, burst: u32) -> u64 {
    let seconds = cycle.saturating_mul(2).saturating_mul(u64::from(burst)).div_ceil(1_000_000);
    let step = if seconds < 100 { 10 } else { 50 };
    seconds.div_ceil(step).saturating_mul(step)
}

//! What the unit would do, in words: asked of [`Forecast`], for this unit alone.

use super::program::Known;
use super::sheet::Sheet;
use crate::manager::{Exit, restart_delay};
use crate::time::Span;
use crate::timeline::brief;
use crate::unit::{Unit, name, signal};
use crate::world::{Ends, Forecast, Prediction};

/// Cycles that a forecast looks at, at most.
const MOST_CYCLES: u32 = 1_000;
const LONGEST: Span = Span::from_secs(86_400 * 365);
/// Where nobody says what a start takes: no process ends at the moment at which it begins.
const LEAST: Span = Span::from_millis(1);

impl Sheet<'_> {
    /// How the program ends where nothing else is said: as it does when its port is taken.
    pub(super) fn exit(&self) -> Exit {
        let known: Option<&Known> = self.main_line().and_then(|line| line.command.known);
        let code = known.and_then(|known| known.bind_errors.first()).map_or(1, |(code, _)| *code);
        self.options.exits.unwrap_or(Exit::Code(code))
    }

    /// What comes of it if its program keeps ending so.
    pub(super) fn course(&self, exit: Exit) -> Prediction {
        let known = self.courses.borrow().iter().find(|(how, _)| *how == exit).map(|(_, course)| course.clone());
        known.unwrap_or_else(|| {
            let course = self.forecast(&self.unit).ends(Ends::With(exit)).run_for(self.horizon());
            self.courses.borrow_mut().push((exit, course.clone()));
            course
        })
    }

    /// The unit by itself: what it asks of other units is taken to be there.
    pub(super) fn forecast(&self, unit: &Unit) -> Forecast {
        let mut alone = Unit { description: unit.description.clone(), ..Unit::default() };
        alone.name = match name::kind(&unit.name) {
            Some(name::NameKind::Plain) => unit.name.clone(),
            _ => "instance.service".to_owned(),
        };
        alone.profile = unit.profile;
        alone.start_limit_interval_sec = unit.start_limit_interval_sec;
        alone.start_limit_burst = unit.start_limit_burst;
        alone.service = unit.service.clone().map(|mut service| {
            service.sockets.clear();
            service.environment_file.clear();
            service
        });
        let text = alone.to_text();
        let starts_in = self.options.starts_in.unwrap_or(LEAST);
        Forecast::of(&alone.name, &text).profile(unit.profile).starts_in(starts_in)
    }

    /// Long enough for the start limit, and not longer than needed; with starts that hang until they time out.
    pub(super) fn hanging(&self) -> Span {
        let timeout = self.service().map_or(Span::ZERO, |service| service.timeout_start_sec);
        self.horizon_of(if timeout.is_infinite() { Span::ZERO } else { timeout })
    }

    /// The same, with starts that end at once or after what they are known to take.
    pub(super) fn horizon(&self) -> Span {
        self.horizon_of(Span::ZERO)
    }

    fn horizon_of(&self, timeout: Span) -> Span {
        let burst = self.unit.start_limit_burst.unwrap_or(5).min(MOST_CYCLES);
        let delay = self.service().map_or(Span::ZERO, |service| {
            let growing = service.restart_steps > 0 && !service.restart_max_delay_sec.is_infinite();
            if growing { service.restart_max_delay_sec } else { service.restart_sec }
        });
        let cycle = [delay, self.options.starts_in.unwrap_or_default(), timeout, Span::from_millis(500)];
        let cycle = cycle.iter().fold(0u64, |sum, span| sum.saturating_add(span.as_micros().min(LONGEST.as_micros())));
        Span::from_micros(cycle.saturating_mul(u64::from(burst) + 3).min(LONGEST.as_micros()))
    }

    /// The least time that the first `burst` restarts take, if the program ends at once: no cycle is shorter.
    pub(super) fn least(&self, burst: u32) -> Span {
        let Some(service) = self.service() else { return Span::ZERO };
        let growing = service.restart_steps > 0 && !service.restart_max_delay_sec.is_infinite();
        let each = service.restart_sec.as_micros();
        if !growing || burst > MOST_CYCLES {
            return Span::from_micros(each.saturating_mul(u64::from(burst)));
        }
        let sum = (1..=burst).fold(0u64, |sum, number| sum.saturating_add(restart_delay(service, number).as_micros()));
        Span::from_micros(sum)
    }
}

/// What comes of it, as a sentence that follows on the way the program ends.
pub(super) fn outcome(prediction: &Prediction) -> String {
    let state = format!("{} ({})", prediction.active_state, prediction.sub_state);
    if let Some(at) = prediction.limited_at {
        let when = if at.is_zero() { "at once".to_owned() } else { format!("{} after the first", brief(at)) };
        return format!("the start limit ends it after {} starts, {when}", prediction.starts);
    }
    if prediction.goes_on() {
        let pace = prediction.pace.map(brief).unwrap_or_default();
        return format!("it is started every {pace}, for ever: {} restarts a day", prediction.restarts_per_day());
    }
    if prediction.starts <= 1 {
        return format!("it is not restarted at all and stays {state}");
    }
    format!("it comes to rest after {} starts: {state}", prediction.starts)
}

/// `exits with 1`, `is killed by KILL`.
pub(super) fn ending(exit: Exit) -> String {
    match exit {
        Exit::Code(code) => format!("exits with {code}"),
        Exit::Signal(number) | Exit::Dumped(number) => {
            format!("is killed by {}", signal::name(number))
        }
    }
}

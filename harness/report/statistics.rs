//! Numbers from a timeline: the loop and the outage.

use std::collections::BTreeSet;

use serde::Serialize;

use crate::expect::{State, is_main_start};
use crate::time::{IncidentTime, Span};
use crate::timeline::{Answer, Event, EventKind, Timeline};

/// The loop of a unit: the starts of its main process.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Loop {
    /// Whole cycles: from one start to the next.
    pub cycles: u64,
    /// How long they were; `None` without a whole cycle.
    #[serde(rename = "period_us")]
    pub period: Option<Period>,
}

/// The lengths of the cycles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Period {
    /// The shortest.
    pub min: Span,
    /// The one in the middle; between two of them, halfway.
    pub median: Span,
    /// The longest.
    pub max: Span,
}

impl Loop {
    /// The loop of a unit in some events. Pass those up to the moment that is to have ended the loop: a start
    /// long after it would count as a very long cycle.
    pub fn of(events: &[Event], unit: &str) -> Self {
        let starts: Vec<IncidentTime> =
            events.iter().filter(|event| is_main_start(event, unit)).map(|event| event.at).collect();
        let mut gaps: Vec<Span> = starts.windows(2).map(|pair| pair[1].since(pair[0])).collect();
        gaps.sort_unstable();
        Self { cycles: gaps.len() as u64, period: Period::of(&gaps) }
    }
}

impl Period {
    /// Of lengths in ascending order.
    fn of(sorted: &[Span]) -> Option<Self> {
        let (min, max) = (*sorted.first()?, *sorted.last()?);
        let upper = sorted[sorted.len() / 2];
        let lower = sorted[(sorted.len() - 1) / 2];
        let median = lower + Span::from_micros(upper.saturating_sub(lower).as_micros() / 2);
        Some(Self { min, median, max })
    }
}

/// What the polling client saw.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Outage {
    /// How long nobody answered: each time from the sending of the first request that failed to the first answer
    /// after it, or to the last failure if none came.
    #[serde(rename = "us")]
    pub length: Span,
    /// How many requests were made.
    pub requests: u64,
    /// How many of them nobody answered.
    pub failed: u64,
    /// How many were answered, but after more than a second.
    pub slow: u64,
    /// Who answered, in the order of their first answers.
    pub answered: Vec<Answerer>,
}

/// Somebody who answered requests.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct Answerer {
    /// Its PID; null if it did not say.
    pub pid: Option<u32>,
    /// How many.
    pub requests: u64,
}

/// An answer that takes longer is a slow one.
const SLOW: Span = Span::from_secs(1);

impl Outage {
    /// The outage in some events; `None` if no client made a request.
    pub fn of(events: &[Event]) -> Option<Self> {
        let mut outage = Self::default();
        let mut down: Option<(IncidentTime, IncidentTime)> = None;
        for event in events {
            let EventKind::Request { answer, sent, pid, .. } = &event.kind else { continue };
            outage.requests += 1;
            if matches!(answer, Answer::Status(_)) {
                outage.slow += u64::from(event.at.since(*sent) > SLOW);
                match outage.answered.iter_mut().find(|known| known.pid == *pid) {
                    Some(known) => known.requests += 1,
                    None => outage.answered.push(Answerer { pid: *pid, requests: 1 }),
                }
                if let Some((since, _)) = down.take() {
                    outage.length = outage.length + event.at.since(since);
                }
            } else {
                outage.failed += 1;
                let since = down.map_or(*sent, |(since, _)| since);
                down = Some((since, event.at));
            }
        }
        if let Some((since, last)) = down {
            outage.length = outage.length + last.since(since);
        }
        (outage.requests > 0).then_some(outage)
    }
}

/// What a unit is like at a moment: the properties of these names.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct UnitState {
    pub active_state: String,
    pub sub_state: String,
    pub result: String,
    pub nrestarts: u32,
}

impl UnitState {
    fn of(state: &State, unit: &str) -> Self {
        let property = |name: &str| state.property(unit, name).unwrap_or_default().to_owned();
        Self {
            active_state: property("ActiveState"),
            sub_state: property("SubState"),
            result: property("Result"),
            nrestarts: property("NRestarts").parse().unwrap_or_default(),
        }
    }
}

/// A unit that stays as it is for so long has come to rest.
const REST: Span = Span::from_secs(60);

/// What the actions of a scenario have left.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Aftermath {
    /// How many restarts were scheduled after the first of its own commands.
    pub restarts: usize,
    /// Its unit in the end.
    #[serde(flatten)]
    pub state: UnitState,
    /// Its unit as it was when it first stayed as it was for a minute; null if it never did.
    pub rest: Option<UnitState>,
    /// Whether the client had no answer in the end.
    pub is_down: bool,
    /// For how long, from the first of its own commands on, nobody listened on a port that somebody had listened on before.
    #[serde(rename = "unheld_us")]
    pub unheld: Span,
    /// Whether that is so in the end.
    pub is_unheld: bool,
}

impl Aftermath {
    /// Of a unit, from the first own command (an index into the events) to the end.
    pub fn of(timeline: &Timeline, first: usize, unit: &str) -> Self {
        let state = State::of(timeline);
        let is_restart =
            |event: &&Event| matches!(&event.kind, EventKind::RestartIn { unit: whose, .. } if whose == unit);
        let (unheld, is_unheld) = unheld(timeline.events(), first);
        Self {
            restarts: timeline.events().iter().skip(first).filter(is_restart).count(),
            state: UnitState::of(&state, unit),
            rest: rest(timeline.events(), first, unit),
            is_down: state.down_since().is_some(),
            unheld,
            is_unheld,
        }
    }
}

/// What a unit was like when it first stayed in its `SubState` for [`REST`], after the event `first`.
fn rest(events: &[Event], first: usize, unit: &str) -> Option<UnitState> {
    let mut state = State::default();
    let (mut then, mut since) = (UnitState::of(&state, unit), events.first()?.at);
    for (index, event) in events.iter().enumerate() {
        if index >= first && event.at.since(since) >= REST {
            return Some(then);
        }
        state.apply(event);
        if !matches!(&event.kind, EventKind::Properties { unit: whose, .. } if whose == unit) && index != first {
            continue;
        }
        let now = UnitState::of(&state, unit);
        if now.sub_state != then.sub_state || index == first {
            since = event.at;
        }
        then = now;
    }
    (events.last()?.at.since(since) >= REST).then_some(then)
}

/// How long nobody listened on a port of those that somebody listened on before the event `first`, from then on, and whether
/// that is so in the end.
fn unheld(events: &[Event], first: usize) -> (Span, bool) {
    let mut state = State::default();
    let mut ports = BTreeSet::new();
    for event in &events[..first.min(events.len())] {
        if let EventKind::Listening { port, .. } = event.kind {
            ports.insert(port);
        }
        state.apply(event);
    }
    let is_free = |state: &State| ports.iter().any(|port| state.owners(*port).is_empty());
    let mut total = Span::ZERO;
    let mut since = None;
    for (index, event) in events.iter().enumerate().skip(first) {
        // The first of them is the command: what was free before is so from here on.
        if index > first {
            state.apply(event);
        }
        match (is_free(&state), since) {
            (true, None) => since = Some(event.at),
            (false, Some(began)) => {
                total = total + event.at.since(began);
                since = None;
            }
            _ => {}
        }
    }
    let last = events.last().map(|event| event.at);
    if let (Some(began), Some(last)) = (since, last) {
        total = total + last.since(began);
    }
    (total, since.is_some())
}

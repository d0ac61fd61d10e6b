//! What happened on real systemd with the real server (`fixtures/incident/rows.tsv`), against what happens on a page.

use std::path::Path;

use relapse::Outcome;
use relapse::expect::State;
use relapse::scenario::Scenario;
use relapse::time::{IncidentTime, Span};
use relapse::timeline::{Answer, Event, EventKind, Timeline};

/// What was measured is this exact: half of the client's period, what a process takes to start and end, and the timers'
/// 250 ms.
const TOLERANCE: Span = Span::from_millis(300);

/// One row.
struct Row<'a> {
    name: &'a str,
    verdict: &'a str,
    /// `ActiveState/SubState`, or `loops`.
    state: &'a str,
    result: &'a str,
    /// `+1`: so many more than before the action; `=0`: so many.
    nrestarts: &'a str,
    outage: &'a str,
}

/// Compares a page with the rows that it stands for.
pub fn check(page: &str, scenario: &Scenario, outcome: &Outcome) -> Result<(), String> {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("fixtures/incident/rows.tsv");
    let table = std::fs::read_to_string(file).map_err(|error| error.to_string())?;
    for line in table.lines().filter(|line| !line.starts_with('#')) {
        let cells: Vec<&str> = line.split('\t').collect();
        let [name, its, verdict, state, result, nrestarts, outage] = cells[..] else {
            return Err(format!("rows.tsv: not seven cells: {line}"));
        };
        if its == page {
            let row = Row { name, verdict, state, result, nrestarts, outage };
            row.check(scenario, outcome).map_err(|why| format!("row {}: {why}", row.name))?;
        }
    }
    Ok(())
}

impl Row<'_> {
    fn check(&self, scenario: &Scenario, outcome: &Outcome) -> Result<(), String> {
        if outcome.kind != self.verdict {
            return Err(format!("it is a {}, not a {}", self.verdict, outcome.kind));
        }
        let unit = scenario.unit.as_deref().unwrap_or_default();
        self.state(unit, scenario, &outcome.timeline)?;
        self.outage(unit, scenario, outcome)
    }

    /// The unit gets into the row's state after the first thing that is typed on the page.
    fn state(&self, unit: &str, scenario: &Scenario, timeline: &Timeline) -> Result<(), String> {
        if self.state == "-" {
            return Ok(());
        }
        let events = timeline.events();
        let first = first_command(scenario, events).ok_or("nothing is typed on the page")?;
        if self.state == "loops" {
            let is_restart =
                |event: &&Event| matches!(&event.kind, EventKind::RestartIn { unit: whose, .. } if whose == unit);
            let restarts = events[first..].iter().filter(is_restart).count();
            return if restarts >= 3 { Ok(()) } else { Err(format!("it loops on, but here are {restarts} restarts")) };
        }
        let mut state = State::default();
        let mut before = 0i64;
        let mut seen = Vec::new();
        for (index, event) in events.iter().enumerate() {
            if index == first {
                before = number(&state, unit);
            }
            state.apply(event);
            if index < first || !matches!(&event.kind, EventKind::Properties { unit: whose, .. } if whose == unit) {
                continue;
            }
            let property = |name: &str| state.property(unit, name).unwrap_or_default();
            let now = number(&state, unit);
            let reached =
                (format!("{}/{}", property("ActiveState"), property("SubState")), property("Result").to_owned(), now);
            let counted = match self.nrestarts.split_at(1.min(self.nrestarts.len())) {
                ("+", more) => more.parse().is_ok_and(|more: i64| now - before == more),
                ("=", count) => count.parse() == Ok(now),
                _ => true,
            };
            let is_result = self.result == "-" || self.result == reached.1;
            if reached.0 == self.state && is_result && counted {
                return Ok(());
            }
            seen.push(format!("{} {} NRestarts={}", reached.0, reached.1, reached.2));
        }
        // What it is in already when the action begins counts if it is so in the end, too.
        let property = |name: &str| state.property(unit, name).unwrap_or_default();
        let last = format!("{}/{}", property("ActiveState"), property("SubState"));
        if self.nrestarts == "+0" && last == self.state && number(&state, unit) == before {
            return Ok(());
        }
        seen.dedup();
        let wanted = format!("{} {} NRestarts{}", self.state, self.result, self.nrestarts);
        Err(format!("the unit is never {wanted} (from {before}), but\n{}", seen.join("\n")))
    }

    /// Nobody is served for as long as the real one took.
    fn outage(&self, unit: &str, scenario: &Scenario, outcome: &Outcome) -> Result<(), String> {
        let events = outcome.timeline.events();
        let first = events.iter().find_map(|event| match &event.kind {
            EventKind::Request { answer, sent, .. } if !matches!(answer, Answer::Status(_)) => Some(*sent),
            _ => None,
        });
        let end = first.and_then(|first| {
            events.iter().find_map(|event| match &event.kind {
                EventKind::Request { answer: Answer::Status(_), sent, .. } if *sent > first => Some(*sent),
                _ => None,
            })
        });
        let is_refused = |event: &&Event| matches!(&event.kind, EventKind::Request { answer: Answer::Refused, .. });
        match self.outage {
            "-" => Ok(()),
            "0" => match (first, outcome.aftermath.as_ref()) {
                (Some(at), _) => Err(format!("nobody was refused, but here somebody is at {at}")),
                (None, Some(after)) if outcome.outage.is_none() && !after.unheld.is_zero() => {
                    Err(format!("somebody always listened, but here nobody does for {}", after.unheld))
                }
                _ => Ok(()),
            },
            "none refused" => events.iter().find(is_refused).map_or(Ok(()), |event| {
                Err(format!("who asked was kept waiting, but not refused; here somebody is at {}", event.at))
            }),
            // Until somebody acts, which a page waits a minute for.
            "down" => {
                let after = outcome.aftermath.as_ref().ok_or("nothing is typed on the page")?;
                let length = outcome.outage.as_ref().map_or(after.unheld, |outage| outage.length);
                match length >= Span::from_secs(60) {
                    true => Ok(()),
                    false => Err(format!("nobody is served any more, but here only for {length}")),
                }
            }
            "wait + start-up" => {
                let (Some(first), Some(end)) = (first, end) else { return Err("there is an outage".to_owned()) };
                let expected = served(unit, scenario, events, first).ok_or("the unit was never started")?.since(first);
                let found = end.since(first);
                let off = found.max(expected).saturating_sub(found.min(expected));
                match off <= TOLERANCE {
                    true => Ok(()),
                    false => Err(format!("nobody is served for {found}, not for {expected}")),
                }
            }
            other => Err(format!("`{other}` is no outage")),
        }
    }
}

fn number(state: &State, unit: &str) -> i64 {
    state.property(unit, "NRestarts").and_then(|text| text.parse().ok()).unwrap_or(0)
}

/// Where the first command of the page itself begins.
fn first_command(scenario: &Scenario, events: &[Event]) -> Option<usize> {
    let commands = scenario.commands().filter(|command| command.location.source.path() == scenario.source.path());
    let own: Vec<(u32, &str)> = commands.map(|command| (command.location.line(), command.text.as_str())).collect();
    let is_own = |event: &Event| match &event.kind {
        EventKind::Command { line, command } => own.contains(&(*line, command.as_str())),
        _ => false,
    };
    events.iter().position(is_own)
}

/// When somebody must be served again after a moment at which nobody is: the attempt that is under way has started up, or
/// the wait is over and the next one has.
fn served(unit: &str, scenario: &Scenario, events: &[Event], down: IncidentTime) -> Option<IncidentTime> {
    let program = scenario.programs().last()?;
    let start_up = program.program.startup.last().map_or(Span::ZERO, |entry| entry.span);
    // A holder that ends takes a moment; the unit's own crash is told together with the wait that follows.
    let soon = down + Span::from_millis(150);
    let mut next = None;
    for event in events.iter().take_while(|event| event.at <= soon) {
        match &event.kind {
            EventKind::RestartIn { unit: whose, delay } if whose == unit => next = Some(event.at + *delay),
            EventKind::Start { unit: Some(whose), role: Some(role), .. } if whose == unit && role == "ExecStart" => {
                next = Some(event.at);
            }
            _ => {}
        }
    }
    Some(next? + start_up)
}

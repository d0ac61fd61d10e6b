//! What `relapse predict` says of the units of a page, against what became of them.
//!
//! The record of a run says how a unit was loaded at each moment, when each of its programs was started, and when and how it
//! ended. From these alone the model has to start them at the same moments, and to get into the same state.

use std::collections::{BTreeMap, BTreeSet};

use relapse::Outcome;
use relapse::manager::{ExecRole, Exit};
use relapse::scenario::Scenario;
use relapse::time::{IncidentTime, Span};
use relapse::timeline::{Ended, Event, EventKind};
use relapse::unit::Profile;
use relapse::world::{Attempt, Ends, Forecast};

/// How exact timers are: whoever types a command wakes the manager, and it looks at them then.
const ACCURACY: Span = Span::from_millis(250);

/// Compares every unit of a page that was started at all.
pub fn check(scenario: &Scenario, outcome: &Outcome) -> Result<(), String> {
    let events = outcome.timeline.events();
    let mut units: BTreeSet<&str> = BTreeSet::new();
    for event in events {
        if let EventKind::Start { unit: Some(unit), role: Some(role), .. } = &event.kind
            && role == "ExecStart"
            && unit.ends_with(".service")
        {
            units.insert(unit);
        }
    }
    for unit in units {
        compare(unit, scenario, events).map_err(|why| format!("{unit}: {why}"))?;
    }
    Ok(())
}

/// A stretch in which nobody but the manager starts or stops the unit.
struct Stretch {
    begin: IncidentTime,
    end: IncidentTime,
    /// Whether somebody else ends it, and does so at its last moment.
    cut: bool,
    epochs: Vec<Epoch>,
    started: Vec<IncidentTime>,
    runs: BTreeMap<&'static str, Vec<Attempt>>,
    state: BTreeMap<String, String>,
}

const ROLES: [(&str, ExecRole); 5] = [
    ("ExecCondition", ExecRole::Condition),
    ("ExecStartPre", ExecRole::StartPre),
    ("ExecStart", ExecRole::Start),
    ("ExecStartPost", ExecRole::StartPost),
    ("ExecStopPost", ExecRole::StopPost),
];

/// Properties that decide about starts, and the settings they come from.
const SETTINGS: [(&str, &str, &str); 20] = [
    ("Unit", "StartLimitIntervalSec", "StartLimitIntervalUSec"),
    ("Unit", "StartLimitBurst", "StartLimitBurst"),
    ("Service", "Type", "Type"),
    ("Service", "ExitType", "ExitType"),
    ("Service", "Restart", "Restart"),
    ("Service", "RestartSec", "RestartUSec"),
    ("Service", "RestartSteps", "RestartSteps"),
    ("Service", "RestartMaxDelaySec", "RestartMaxDelayUSec"),
    ("Service", "RestartMode", "RestartMode"),
    ("Service", "RestartPreventExitStatus", "RestartPreventExitStatus"),
    ("Service", "RestartForceExitStatus", "RestartForceExitStatus"),
    ("Service", "SuccessExitStatus", "SuccessExitStatus"),
    ("Service", "TimeoutStartSec", "TimeoutStartUSec"),
    ("Service", "TimeoutStopSec", "TimeoutStopUSec"),
    ("Service", "RemainAfterExit", "RemainAfterExit"),
    ("Service", "NotifyAccess", "NotifyAccess"),
    ("Service", "KillMode", "KillMode"),
    ("Service", "KillSignal", "KillSignal"),
    ("Service", "SendSIGKILL", "SendSIGKILL"),
    ("Service", "GuessMainPID", "GuessMainPID"),
];

/// How the unit was loaded from a moment on, and which of its commands were seen to run.
struct Epoch {
    at: IncidentTime,
    settings: BTreeMap<&'static str, String>,
    /// Whether the start goes on if they fail.
    roles: BTreeMap<&'static str, bool>,
}

impl Epoch {
    fn new(at: IncidentTime, properties: &BTreeMap<String, String>) -> Epoch {
        Epoch { at, settings: settings(properties), roles: BTreeMap::new() }
    }

    /// The unit's text, for a machine on which there is nothing else.
    fn text(&self) -> String {
        let mut text: String = self.settings.iter().map(|(section, keys)| format!("[{section}]\n{keys}")).collect();
        text.push_str("[Service]\nExecStart=/usr/bin/main\n");
        for (role, ignored) in self.roles.iter().filter(|(role, _)| **role != "ExecStart") {
            text.push_str(&format!("{role}={}/usr/bin/other\n", if *ignored { "-" } else { "" }));
        }
        text
    }
}

fn settings(properties: &BTreeMap<String, String>) -> BTreeMap<&'static str, String> {
    let mut sections: BTreeMap<&str, String> = BTreeMap::new();
    for (section, key, property) in SETTINGS {
        if let Some(value) = properties.get(property).filter(|value| !value.is_empty()) {
            sections.entry(section).or_default().push_str(&format!("{key}={value}\n"));
        }
    }
    sections
}

/// Whether a command that was typed may start or stop a unit, or make the manager forget what it counted.
fn interferes(command: &str) -> bool {
    let harmless =
        ["show", "status", "is-active", "is-failed", "is-enabled", "list-units", "cat", "daemon-reload", "kill"];
    let words: Vec<&str> = command.split(|c: char| c.is_whitespace() || ";|&()\"'$".contains(c)).collect();
    let systemctl = words.iter().enumerate().any(|(at, word)| {
        let verb = words[at + 1..].iter().find(|word| !word.is_empty() && !word.starts_with('-'));
        let quiet = ["enable", "disable"].map(Some).contains(&verb.copied()) && !words.contains(&"--now");
        *word == "systemctl" && verb.is_some_and(|verb| !harmless.contains(verb)) && !quiet
    });
    systemctl || words.iter().any(|word| word.ends_with(".sh") || ["reboot", "loginctl"].contains(word))
}

fn stretches(unit: &str, events: &[Event]) -> Vec<Stretch> {
    let mut all: Vec<Stretch> = Vec::new();
    let mut open: Option<Stretch> = None;
    let mut properties: BTreeMap<String, String> = BTreeMap::new();
    let mut running: BTreeMap<u32, (&'static str, IncidentTime, usize)> = BTreeMap::new();
    let mut last = events.first().map_or(IncidentTime::from_micros(0), |event| event.at);
    let mut reloaded = last;
    let before_main = ["ExecCondition", "ExecStartPre"];
    let mut since_main: BTreeSet<&'static str> = BTreeSet::new();
    let role_of = |role: &str| ROLES.iter().find(|(name, _)| *name == role).map(|(name, _)| *name);
    for event in events {
        last = event.at;
        match &event.kind {
            EventKind::Command { command, .. } if interferes(command) => {
                if let Some(mut stretch) = open.take() {
                    stretch.end = event.at;
                    stretch.cut = true;
                    stretch.state.clone_from(&properties);
                    all.push(stretch);
                }
            }
            EventKind::Start { unit: Some(whose), role: Some(role), pid, .. } if whose == unit => {
                let Some(role) = role_of(role) else { continue };
                let stretch = open.get_or_insert_with(|| Stretch {
                    begin: event.at,
                    end: event.at,
                    cut: false,
                    epochs: vec![Epoch::new(event.at, &properties)],
                    started: Vec::new(),
                    runs: BTreeMap::new(),
                    state: BTreeMap::new(),
                });
                // Commands that come or go with a drop-in change nothing that is shown, but the manager says that it reloads.
                let known = stretch.epochs.last().is_some_and(|epoch| epoch.roles.contains_key(role));
                let gone = role == "ExecStart"
                    && stretch.epochs.last().is_some_and(|epoch| {
                        epoch.roles.keys().any(|one| before_main.contains(one) && !since_main.contains(one))
                    });
                let newer = stretch.epochs.last().is_some_and(|epoch| reloaded > epoch.at);
                if newer && !stretch.started.is_empty() && (!known || gone) {
                    let mut epoch = Epoch::new(reloaded, &properties);
                    epoch.roles.extend(since_main.iter().map(|role| (*role, false)));
                    stretch.epochs.push(epoch);
                }
                since_main.insert(role);
                if role == "ExecStart" {
                    since_main.clear();
                }
                if let Some(epoch) = stretch.epochs.last_mut() {
                    epoch.roles.entry(role).or_default();
                    if role == "ExecStart" {
                        stretch.started.push(event.at);
                        let failed = |role: &str| {
                            let last = stretch.runs.get(role).and_then(|list| list.last());
                            last.is_some_and(|last| !matches!(last.ends, Some(Exit::Code(0))))
                        };
                        for (before, ignored) in &mut epoch.roles {
                            *ignored |= ["ExecCondition", "ExecStartPre"].contains(before) && failed(before);
                        }
                    }
                }
                let list = stretch.runs.entry(role).or_default();
                // Until it is known better, it stays.
                list.push(Attempt { takes: Span::ZERO, ends: None });
                running.insert(*pid, (role, event.at, list.len() - 1));
            }
            EventKind::Journal { message, .. } if message == "Reloading." => reloaded = event.at,
            EventKind::Listening { pid, .. } => {
                if let (Some((role, since, index)), Some(stretch)) = (running.get(pid), &mut open)
                    && let Some(attempt) = stretch.runs.get_mut(role).and_then(|list| list.get_mut(*index))
                {
                    attempt.takes = event.at.since(*since);
                }
            }
            EventKind::Exit { pid, ended, .. } => {
                if let (Some((role, since, index)), Some(stretch)) = (running.remove(pid), &mut open)
                    && since >= stretch.begin
                    && let Some(attempt) = stretch.runs.get_mut(role).and_then(|list| list.get_mut(index))
                {
                    *attempt = Attempt { takes: event.at.since(since), ends: Some(exit(*ended)) };
                }
            }
            EventKind::Properties { unit: whose, changed } if whose == unit => {
                properties.extend(changed.clone());
                if let Some(stretch) = &mut open {
                    let now = settings(&properties);
                    if stretch.epochs.last().is_none_or(|last| last.settings != now) {
                        stretch.epochs.push(Epoch::new(event.at, &properties));
                    }
                }
            }
            _ => {}
        }
    }
    if let Some(mut stretch) = open {
        stretch.end = last;
        stretch.state = properties;
        all.push(stretch);
    }
    all
}

fn exit(ended: Ended) -> Exit {
    match ended {
        Ended::Exited(code) => Exit::Code(code),
        Ended::Killed(signal) => Exit::Signal(signal),
        Ended::Dumped(signal) => Exit::Dumped(signal),
    }
}

fn profile(scenario: &Scenario) -> Profile {
    scenario.settings.profile
}

fn compare(unit: &str, scenario: &Scenario, events: &[Event]) -> Result<(), String> {
    let all = stretches(unit, events);
    if all.is_empty() {
        return Err("it was started, but in no stretch of time".to_owned());
    }
    let boot = events.first().map_or(IncidentTime::from_micros(0), |event| event.at);
    let phase = scenario.settings.timer_phase.unwrap_or(Span::ZERO);
    for (index, stretch) in all.iter().enumerate() {
        let offset =
            stretch.begin.since(boot).as_micros() + ACCURACY.as_micros() - phase.as_micros() % ACCURACY.as_micros();
        let (first, reloads) = stretch.epochs.split_first().ok_or("it was never loaded")?;
        let text = first.text();
        let mut forecast = Forecast::of(unit, &text)
            .profile(profile(scenario))
            .offset(Span::from_micros(offset % ACCURACY.as_micros()));
        for epoch in reloads {
            forecast = forecast.reload(epoch.at.since(stretch.begin), &epoch.text());
        }
        let plain = forecast.clone();
        for (name, role) in ROLES {
            forecast = forecast.attempts(role, stretch.runs.get(name).cloned().unwrap_or_default());
        }
        // What happens at the moment of the cut may come before it or after it.
        let span = stretch.end.since(stretch.begin);
        let spans = [span, span.saturating_sub(Span::from_micros(1))];
        let spans = &spans[..if stretch.cut { 2 } else { 1 }];
        let any = |look: &dyn Fn(Span) -> Result<(), String>| {
            let found: Vec<_> = spans.iter().map(|span| look(*span)).collect();
            if found.iter().any(Result::is_ok) { Ok(()) } else { found.into_iter().next().unwrap_or(Ok(())) }
        };
        let place = format!("stretch {} from {}", index + 1, stretch.begin);
        any(&|span| same(stretch, &forecast, span)).map_err(|why| format!("{place}: {why}\n{text}"))?;
        // Another delay than the unit's must be found out.
        let other = Forecast::of(unit, &format!("{text}[Service]\nRestartSec=41min\n"));
        let runs = stretch.runs.get("ExecStart").cloned().unwrap_or_default();
        let restarts = stretch.started.windows(2).any(|pair| pair[1].since(pair[0]) < Span::from_secs(41 * 60));
        if restarts && same(stretch, &other.attempts(ExecRole::Start, runs), span).is_ok() {
            return Err(format!("{place}: any delay would do"));
        }
        any(&|span| constant(stretch, plain.clone(), span))
            .map_err(|why| format!("{place}, in two figures: {why}\n{text}"))?;
    }
    Ok(())
}

/// The same starts and the same end.
fn same(stretch: &Stretch, forecast: &Forecast, span: Span) -> Result<(), String> {
    let predicted = forecast.run_for(span);
    let measured: Vec<Span> = stretch.started.iter().map(|at| at.since(stretch.begin)).collect();
    let limit = measured.iter().zip(&predicted.started_at).all(|(a, b)| a.max(b).saturating_sub(*a.min(b)) <= ACCURACY);
    // At the very end a start may be on either side of it.
    let near = |at: Option<&Span>| at.is_some_and(|at| span.saturating_sub(*at) <= ACCURACY);
    let (few, many) = (measured.len().min(predicted.started_at.len()), measured.len().max(predicted.started_at.len()));
    let longer = if measured.len() > predicted.started_at.len() { &measured } else { &predicted.started_at };
    let counted = few == many || (few + 1 == many && near(longer.last()));
    if !limit || !counted {
        let shown = |spans: &[Span]| spans.iter().take(12).map(Span::to_string).collect::<Vec<_>>().join(" ");
        return Err(format!(
            "{} starts in {span}, predicted are {}: {} against {}",
            measured.len(),
            predicted.starts,
            shown(&measured),
            shown(&predicted.started_at)
        ));
    }
    let property = |name: &str| stretch.state.get(name).map(String::as_str).unwrap_or_default();
    let measured = (property("ActiveState"), property("SubState"), property("Result"));
    let found = (predicted.active_state, predicted.sub_state, predicted.result);
    if few == many && measured != found {
        return Err(format!("it ends {measured:?}, predicted is {found:?} (limited at {:?})", predicted.limited_at));
    }
    Ok(())
}

/// Where every attempt was the same, two figures are enough, as on the command line; and a third one for the moment at which the
/// port is free.
fn constant(stretch: &Stretch, forecast: Forecast, span: Span) -> Result<(), String> {
    let others = stretch.runs.keys().any(|role| *role != "ExecStart");
    let Some(runs) = stretch.runs.get("ExecStart").filter(|_| !others) else { return Ok(()) };
    let Some((last, all)) = runs.split_last() else { return Ok(()) };
    let Some(first) = all.first().filter(|first| all.iter().all(|one| one == *first)) else { return Ok(()) };
    let Some(exit) = first.ends else { return Ok(()) };
    let forecast = match last.ends {
        // It serves: somebody gave the port up between the last two attempts to bind.
        None if last.takes > Span::ZERO && stretch.started.len() == runs.len() => {
            let at = |index: usize| stretch.started[index].since(stretch.begin);
            let freed = at(runs.len() - 2).saturating_add(first.takes).saturating_add(Span::from_millis(1));
            // A program takes a moment from its bind error to its end.
            if last.takes > first.takes {
                return Ok(());
            }
            forecast.starts_in(first.takes).ends(Ends::UntilPortIsFree { with: exit, after: freed })
        }
        None => return Ok(()),
        Some(_) if last == first => forecast.starts_in(first.takes).ends(Ends::With(exit)),
        Some(_) => return Ok(()),
    };
    same(stretch, &forecast, span)
}

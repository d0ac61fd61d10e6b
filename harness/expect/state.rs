//! What is true at a moment: the sum of the events so far, as conditions see it.

use std::collections::BTreeMap;

use super::claim::{Op, Pattern, PropertyName, Quantity, Term, Value};
use crate::time::{IncidentTime, Span};
use crate::timeline::{Answer, Event, EventKind, Timeline};

/// Properties of units, living processes, listeners and the client's luck, after some number of events.
///
/// It grows with what is alive, not with the length of the run.
#[derive(Clone, Debug, Default)]
pub struct State {
    properties: BTreeMap<String, BTreeMap<String, String>>,
    processes: BTreeMap<u32, String>,
    listeners: BTreeMap<u16, Vec<Listener>>,
    down_since: Option<IncidentTime>,
}

#[derive(Clone, Debug)]
struct Listener {
    pid: u32,
    unit: Option<String>,
    address: String,
}

/// The answer of one comparison, and the value that was compared.
pub(super) struct Judgement {
    /// `None` if the value is not known.
    pub(super) truth: Option<bool>,
    /// The left side as people read it.
    pub(super) found: String,
}

impl State {
    /// The state after all events of a timeline.
    pub fn of(timeline: &Timeline) -> Self {
        let mut state = Self::default();
        timeline.events().iter().for_each(|event| state.apply(event));
        state
    }

    /// Takes the next event into account.
    pub fn apply(&mut self, event: &Event) {
        match &event.kind {
            EventKind::Start { pid, cmdline, .. } | EventKind::Exec { pid, cmdline } => {
                self.processes.insert(*pid, cmdline.clone());
            }
            EventKind::Exit { pid, .. } => {
                self.processes.remove(pid);
                self.listeners.values_mut().for_each(|listeners| listeners.retain(|listener| listener.pid != *pid));
                self.listeners.retain(|_, listeners| !listeners.is_empty());
            }
            EventKind::Listening { unit, pid, address, port } => {
                let listeners = self.listeners.entry(*port).or_default();
                if !listeners.iter().any(|known| known.pid == *pid && known.address == *address) {
                    listeners.push(Listener { pid: *pid, unit: unit.clone(), address: address.clone() });
                }
            }
            EventKind::Closed { pid, address, port } => {
                if let Some(listeners) = self.listeners.get_mut(port) {
                    listeners.retain(|listener| listener.pid != *pid || listener.address != *address);
                    if listeners.is_empty() {
                        self.listeners.remove(port);
                    }
                }
            }
            EventKind::Properties { unit, changed } => {
                let known = self.properties.entry(unit.clone()).or_default();
                known.extend(changed.iter().map(|(name, value)| (name.clone(), value.clone())));
            }
            EventKind::Request { answer, sent, .. } => {
                if is_answered(answer) {
                    self.down_since = None;
                } else {
                    self.down_since.get_or_insert(*sent);
                }
            }
            _ => {}
        }
    }

    /// Whether an event of this kind can change the truth of a condition.
    pub(super) fn is_moved_by(event: &EventKind) -> bool {
        matches!(
            event,
            EventKind::Start { .. }
                | EventKind::Exec { .. }
                | EventKind::Exit { .. }
                | EventKind::Listening { .. }
                | EventKind::Closed { .. }
                | EventKind::Properties { .. }
        )
    }

    /// Since when the client has had no answer; `None` while it has.
    pub fn down_since(&self) -> Option<IncidentTime> {
        self.down_since
    }

    /// A property of a unit, if the manager has shown it.
    pub fn property(&self, unit: &str, name: &str) -> Option<&str> {
        self.properties.get(unit)?.get(name).map(String::as_str)
    }

    /// The processes that listen on a port, each once.
    pub fn owners(&self, port: u16) -> Vec<u32> {
        let mut pids: Vec<u32> = self.listeners.get(&port).into_iter().flatten().map(|listener| listener.pid).collect();
        pids.sort_unstable();
        pids.dedup();
        pids
    }

    /// How many living processes have the text in their command line.
    fn count(&self, pattern: &Pattern) -> usize {
        self.processes.values().filter(|cmdline| pattern.matches(cmdline)).count()
    }

    /// Judges a comparison. `unit` is the scenario's unit, `vars` what the console bound.
    pub(super) fn judge(&self, term: &Term, unit: &str, vars: &BTreeMap<String, String>) -> Judgement {
        let property = |name: &PropertyName| self.property(name.unit.as_deref().unwrap_or(unit), &name.name);
        let value: Option<&str> = match &term.value {
            Value::Var(var) => vars.get(&var.name).map(String::as_str),
            Value::Property(name) => property(name),
            Value::None => Some("none"),
            Value::Word(word) => Some(word),
        };
        match &term.quantity {
            Quantity::Property(name) => {
                let Some(found) = property(name) else {
                    return Judgement { truth: None, found: "not known".into() };
                };
                Judgement { truth: value.and_then(|value| compare(found, term.op, value)), found: shown(found) }
            }
            Quantity::Owners(port) => number(self.owners(*port).len(), term.op, value),
            Quantity::Processes(pattern) => number(self.count(pattern), term.op, value),
            Quantity::Owner(port) => self.judge_owner(*port, term, unit, value),
        }
    }

    /// With more than one owner there is no *the* owner: it equals nothing, not even `none`.
    fn judge_owner(&self, port: u16, term: &Term, unit: &str, value: Option<&str>) -> Judgement {
        let owners = self.owners(port);
        let owner = match owners[..] {
            [pid] => self.listeners.get(&port).and_then(|all| all.iter().find(|listener| listener.pid == pid)),
            _ => None,
        };
        let found = match (owner, &owners[..]) {
            (Some(Listener { pid, unit: Some(unit), .. }), _) => format!("{pid} of {unit}"),
            (Some(Listener { pid, unit: None, .. }), _) => format!("{pid} of no unit"),
            (None, []) => "none".into(),
            (None, many) => {
                let list: Vec<String> = many.iter().map(u32::to_string).collect();
                format!("shared by {}", list.join(" and "))
            }
        };
        let is = match (&term.value, value) {
            (Value::None, _) => Some(owners.is_empty()),
            (_, None) => None,
            (_, Some(value)) => Some(owner.is_some_and(|owner| match value.parse::<u32>() {
                Ok(pid) => owner.pid == pid,
                Err(_) => {
                    let named = if value == "unit" { unit.to_owned() } else { super::claim::full_unit_name(value) };
                    owner.unit.as_deref() == Some(named.as_str())
                }
            })),
        };
        Judgement { truth: is.map(|is| is == (term.op == Op::Equal)), found }
    }
}

/// Any HTTP answer is an answer, whatever its status: somebody was there.
pub(super) fn is_answered(answer: &Answer) -> bool {
    matches!(answer, Answer::Status(_))
}

fn shown(value: &str) -> String {
    if value.is_empty() { "empty".into() } else { value.to_owned() }
}

fn number(found: usize, op: Op, value: Option<&str>) -> Judgement {
    let found = found.to_string();
    Judgement { truth: value.and_then(|value| compare(&found, op, value)), found }
}

/// Two values as `systemctl show` prints them: alike as text, as numbers or as time spans (`10s` is `10`);
/// by size as numbers or as time spans. `None` if they have no order.
fn compare(found: &str, op: Op, value: &str) -> Option<bool> {
    let ordering = match (found.parse::<u64>(), value.parse::<u64>()) {
        (Ok(found), Ok(value)) => Some(found.cmp(&value)),
        _ => match (Span::parse(found), Span::parse(value)) {
            (Ok(found), Ok(value)) => Some(found.cmp(&value)),
            _ => None,
        },
    };
    match op {
        Op::Equal => Some(found == value || ordering.is_some_and(std::cmp::Ordering::is_eq)),
        Op::NotEqual => Some(found != value && !ordering.is_some_and(std::cmp::Ordering::is_eq)),
        Op::AtLeast => ordering.map(std::cmp::Ordering::is_ge),
        Op::AtMost => ordering.map(std::cmp::Ordering::is_le),
    }
}

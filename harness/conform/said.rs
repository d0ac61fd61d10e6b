//! From records of a journal to messages that can be compared.

use std::collections::{BTreeMap, BTreeSet};

use super::case::{Case, Message, Times};
use super::{DIR, normal};

/// Fields of the manager's records that were not recorded everywhere: numbers and files of that machine.
pub(super) const NOT_COMPARED: &[&str] = &["JOB_ID", "CONFIG_FILE", "CONFIG_LINE"];

/// Fields that are in every record: who logged it and where.
const EVERY: &[&str] =
    &["SYSLOG_FACILITY", "SYSLOG_IDENTIFIER", "PRIORITY", "TID", "UNIT", "MESSAGE", "MESSAGE_ID", "INVOCATION_ID"];

/// A record of a journal.
#[derive(Clone, Debug, Default)]
pub struct Said {
    /// Milliseconds since the first action.
    pub at_ms: u64,
    /// `PRIORITY`.
    pub priority: u8,
    /// `UNIT`; all of them if there are several.
    pub units: Vec<String>,
    /// `MESSAGE`.
    pub text: String,
    /// `MESSAGE_ID`.
    pub message_id: Option<String>,
    /// `INVOCATION_ID`; all of them if there are several.
    pub invocations: Vec<String>,
    /// All fields.
    pub fields: Vec<(String, String)>,
    /// Whether a child said it before it became its program, not PID 1.
    pub by_child: bool,
}

/// What was said of a case's units: the manager's messages in order, and its children's, each once and sorted.
pub fn hear(case: &Case, said: impl IntoIterator<Item = Said>) -> (Vec<Message>, Vec<Message>) {
    let own = case.own();
    let mut units: BTreeSet<&str> = case.units.keys().chain(&case.also).map(String::as_str).collect();
    units.insert(&own);
    let mut invocations: BTreeMap<String, Vec<String>> = BTreeMap::new();
    let (mut messages, mut children) = (Vec::new(), BTreeSet::new());
    for mut record in said {
        // A template stands for all of its instances.
        if !record.units.iter().any(|unit| units.contains(&**unit) || units.contains(&*template(unit))) {
            continue;
        }
        record.units.sort_unstable();
        // Of a unit that was not started yet the manager says that its invocation is nothing.
        record.invocations.retain(|invocation| !invocation.is_empty());
        record.invocations.sort_unstable();
        let about = record.units.join(" ");
        let mut message = Message {
            unit: (about != own).then(|| normal::without_pids(&about)),
            msg: normal::without_pids(&record.text).replace(DIR, "@DIR@"),
            prio: record.priority,
            id: record.message_id,
            ..Message::default()
        };
        if record.by_child {
            // How often each was said is a matter of how many attempts there were until the end.
            children.insert(message);
            continue;
        }
        if !record.invocations.is_empty() {
            let invocation = record.invocations.join(" ");
            let known = invocations.entry(about).or_default();
            message.inv = 1 + known.iter().position(|known| *known == invocation).unwrap_or_else(|| {
                known.push(invocation);
                known.len() - 1
            });
        }
        message.t_ms = Times::at(record.at_ms);
        message.fields = record.fields.into_iter().filter(|(name, _)| is_event_field(name)).collect();
        messages.push(message);
    }
    (messages, children.into_iter().collect())
}

/// Fields of what happened.
fn is_event_field(name: &str) -> bool {
    !(name.starts_with('_') || name.starts_with("CODE_") || EVERY.contains(&name) || NOT_COMPARED.contains(&name))
}

/// The template of an instance; another unit's own name.
fn template(unit: &str) -> String {
    match (unit.split_once('@'), unit.rsplit_once('.')) {
        (Some((prefix, _)), Some((_, kind))) => format!("{prefix}@.{kind}"),
        _ => unit.to_owned(),
    }
}

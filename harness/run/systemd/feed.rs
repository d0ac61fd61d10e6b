//! What systemd says, as events: its journal, and the changes on its bus.

use std::collections::{BTreeMap, HashMap};
use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::control::Changed;
use crate::journal::Record;
use crate::program::MOMENTS;
use crate::time::Span;
use crate::timeline::EventKind;

/// A file of lines that is read as it grows.
#[derive(Debug)]
pub(super) struct Tail {
    file: File,
    read: u64,
    partial: Vec<u8>,
}

impl Tail {
    pub(super) fn new(file: File) -> Tail {
        Tail { file, read: 0, partial: Vec::new() }
    }

    /// The lines that have come since the last call.
    pub(super) fn lines(&mut self) -> io::Result<Vec<String>> {
        let mut chunk = [0; 65536];
        loop {
            let count = self.file.read_at(&mut chunk, self.read)?;
            if count == 0 {
                break;
            }
            self.read += count as u64;
            self.partial.extend_from_slice(&chunk[..count]);
        }
        let Some(end) = self.partial.iter().rposition(|byte| *byte == b'\n') else { return Ok(Vec::new()) };
        let whole: Vec<u8> = self.partial.drain(..=end).collect();
        Ok(String::from_utf8_lossy(&whole).lines().map(str::to_owned).collect())
    }
}

/// What the units were said to be like last.
#[derive(Debug, Default)]
pub(super) struct Known {
    properties: HashMap<String, BTreeMap<String, String>>,
}

impl Known {
    pub(super) fn get(&self, unit: &str, name: &str) -> Option<&str> {
        self.properties.get(unit)?.get(name).map(String::as_str)
    }

    /// A change as events: the properties that are new, and that a restart is waited for.
    pub(super) fn events(&mut self, changed: Changed, delay: impl FnOnce(&str) -> Span) -> Vec<EventKind> {
        let Changed { unit, changed, .. } = changed;
        let known = self.properties.entry(unit.clone()).or_default();
        let new: BTreeMap<String, String> = changed
            .into_iter()
            .filter(|(name, value)| known.get(name) != Some(value) && !MOMENTS.contains(&name.as_str()))
            .collect();
        if new.is_empty() {
            return Vec::new();
        }
        known.extend(new.clone());
        let waits = new.get("SubState").is_some_and(|state| state == "auto-restart");
        let waits = waits.then(|| EventKind::RestartIn { unit: unit.clone(), delay: delay(&unit) });
        std::iter::once(EventKind::Properties { unit, changed: new }).chain(waits).collect()
    }
}

/// When a record was made, in microseconds since 1970: the sender's word if there is one.
pub(super) fn stamp(record: &Record) -> u64 {
    let source = record.get("_SOURCE_REALTIME_TIMESTAMP").and_then(|text| text.parse().ok());
    source.unwrap_or(record.realtime.as_micros())
}

/// Whether systemd itself has written the record, and not a child of it before its exec.
pub(super) fn is_the_managers(record: &Record) -> bool {
    record.get("_PID") == Some("1")
}

/// A record of the manager as an event.
pub(super) fn event(record: &Record) -> EventKind {
    EventKind::Journal {
        unit: record.get("UNIT").map(str::to_owned),
        priority: record.priority().unwrap_or(6),
        message_id: record.get("MESSAGE_ID").map(str::to_owned),
        message: record.message(),
    }
}

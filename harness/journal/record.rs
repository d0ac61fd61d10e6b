//! One record: ordered fields, as `journalctl -o export` would show them.

use crate::time::IncidentTime;

/// A journal record. Field values are bytes; nearly all are UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Record {
    /// `__REALTIME_TIMESTAMP`.
    pub realtime: IncidentTime,
    /// `__MONOTONIC_TIMESTAMP` in microseconds since boot.
    pub monotonic: u64,
    /// All other fields, in order of writing; a name may occur twice.
    pub fields: Vec<(String, Vec<u8>)>,
}

impl Record {
    /// A record without fields.
    pub fn new(realtime: IncidentTime, boot: IncidentTime) -> Self {
        Self { realtime, monotonic: realtime.since(boot).as_micros(), fields: Vec::new() }
    }

    /// Adds a field.
    #[must_use]
    pub fn with(mut self, name: &str, value: impl Into<Vec<u8>>) -> Self {
        self.fields.push((name.to_owned(), value.into()));
        self
    }

    /// The first value of a field, if it is UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|(n, _)| n == name).and_then(|(_, v)| std::str::from_utf8(v).ok())
    }

    /// MESSAGE, lossily.
    pub fn message(&self) -> String {
        self.fields
            .iter()
            .find(|(n, _)| n == "MESSAGE")
            .map(|(_, v)| String::from_utf8_lossy(v).into_owned())
            .unwrap_or_default()
    }
}

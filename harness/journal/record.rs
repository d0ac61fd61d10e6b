//! One record: ordered fields, as `journalctl -o export` would show them.

use crate::time::IncidentTime;

/// A journal record. Field values are bytes; nearly all are UTF-8.
#[derive(Clone, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
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
        self.push(name, value);
        self
    }

    /// Adds a field.
    pub fn push(&mut self, name: &str, value: impl Into<Vec<u8>>) {
        self.fields.push((name.to_owned(), value.into()));
    }

    /// The bytes of the first value of a field.
    pub fn bytes(&self, name: &str) -> Option<&[u8]> {
        self.fields.iter().find(|(n, _)| n == name).map(|(_, v)| v.as_slice())
    }

    /// The first value of a field, if it is UTF-8.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.bytes(name).and_then(|v| std::str::from_utf8(v).ok())
    }

    /// Whether the record has this value of this field.
    pub fn has(&self, name: &str, value: &[u8]) -> bool {
        self.fields.iter().any(|(n, v)| n == name && v == value)
    }

    /// MESSAGE, lossily.
    pub fn message(&self) -> String {
        self.bytes("MESSAGE").map(|v| String::from_utf8_lossy(v).into_owned()).unwrap_or_default()
    }

    /// `PRIORITY`, if it is one.
    pub fn priority(&self) -> Option<u8> {
        self.get("PRIORITY").and_then(|p| p.parse().ok()).filter(|p| *p <= 7)
    }

    /// `_BOOT_ID`, empty if the record has none.
    pub fn boot_id(&self) -> &str {
        self.get("_BOOT_ID").unwrap_or_default()
    }
}

//! Records as JSON objects, out and in (systemd.journal-fields(7), "Journal JSON Format").

use std::collections::HashMap;
use std::collections::hash_map::Entry;

use serde_json::Value;

use crate::time::IncidentTime;

use super::Record;
use super::text::is_printable;

/// Longer fields are written as `null` unless all is asked for.
const THRESHOLD: usize = 4096;

/// Why a line is not a record.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum JsonError {
    /// Not JSON at all.
    #[error("not a journal record: {0}")]
    Syntax(String),
    /// JSON, but no object.
    #[error("not a journal record, expected a JSON object as `journalctl -o json` writes it")]
    NotAnObject,
    /// A field has a value that no field can have.
    #[error("field {0} has a value that is neither a string, null, an array of bytes nor an array of those")]
    Value(String),
    /// A timestamp is missing or not a number.
    #[error("no `__REALTIME_TIMESTAMP`, expected microseconds since 1970 as a string")]
    NoTimestamp,
}

/// How a record is laid out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// One line.
    Line,
    /// One field a line.
    Pretty,
}

/// The address fields of an entry, as every machine format begins with them.
pub(super) fn address(entry: &super::Entry<'_>, version: u32) -> Vec<(&'static str, String)> {
    let record = entry.record;
    let mut fields = vec![
        ("__CURSOR", entry.cursor()),
        ("__REALTIME_TIMESTAMP", record.realtime.as_micros().to_string()),
        ("__MONOTONIC_TIMESTAMP", record.monotonic.to_string()),
    ];
    if version >= 254 {
        fields.push(("__SEQNUM", entry.seqnum.to_string()));
        fields.push(("__SEQNUM_ID", entry.seqnum_id().to_owned()));
    }
    fields.push(("_BOOT_ID", record.boot_id().to_owned()));
    fields
}

pub(super) fn write(out: &mut Vec<u8>, entry: &super::Entry<'_>, layout: Layout, style: &super::Style) {
    // A repeated field becomes an array at its first place.
    let mut fields: Vec<(&str, Vec<&[u8]>)> = Vec::new();
    let mut places: HashMap<&str, usize> = HashMap::new();
    for (name, value) in entry.record.fields.iter().filter(|(n, _)| n != "_BOOT_ID" && style.shows(n)) {
        match places.entry(name) {
            Entry::Occupied(place) => fields[*place.get()].1.push(value),
            Entry::Vacant(place) => {
                place.insert(fields.len());
                fields.push((name, vec![value]));
            }
        }
    }
    let (open, colon, comma, indent, close) = match layout {
        Layout::Line => ("{", ":", ",", "", "}\n"),
        Layout::Pretty => ("{\n", " : ", ",\n", "\t", "\n}\n"),
    };
    out.extend_from_slice(open.as_bytes());
    let mut first = true;
    let mut key = |out: &mut Vec<u8>, name: &str| {
        if !std::mem::take(&mut first) {
            out.extend_from_slice(comma.as_bytes());
        }
        out.extend_from_slice(indent.as_bytes());
        string(out, name);
        out.extend_from_slice(colon.as_bytes());
    };
    for (name, value) in address(entry, style.version) {
        key(out, name);
        string(out, &value);
    }
    for (name, values) in fields {
        key(out, name);
        match values.as_slice() {
            [one] => self::value(out, name, one, layout, 1, style.all),
            many => array(out, layout, 1, many, |out, one| value(out, name, one, layout, 2, style.all)),
        }
    }
    out.extend_from_slice(close.as_bytes());
}

fn value(out: &mut Vec<u8>, name: &str, value: &[u8], layout: Layout, depth: usize, all: bool) {
    if !all && name.len() + 1 + value.len() >= THRESHOLD {
        out.extend_from_slice(b"null");
        return;
    }
    match std::str::from_utf8(value) {
        Ok(text) if is_printable(value) => string(out, text),
        _ => array(out, layout, depth, value, |out, byte| out.extend_from_slice(byte.to_string().as_bytes())),
    }
}

fn array<T>(out: &mut Vec<u8>, layout: Layout, depth: usize, items: &[T], mut item: impl FnMut(&mut Vec<u8>, &T)) {
    let line_feed = |out: &mut Vec<u8>, depth: usize| {
        if layout == Layout::Pretty {
            out.push(b'\n');
            out.extend(std::iter::repeat_n(b'\t', depth));
        }
    };
    out.push(b'[');
    for (index, one) in items.iter().enumerate() {
        if index > 0 {
            out.push(b',');
        }
        line_feed(out, depth + 1);
        item(out, one);
    }
    line_feed(out, depth);
    out.push(b']');
}

fn string(out: &mut Vec<u8>, text: &str) {
    out.push(b'"');
    for c in text.chars() {
        match c {
            '"' => out.extend_from_slice(b"\\\""),
            '\\' => out.extend_from_slice(b"\\\\"),
            '\u{8}' => out.extend_from_slice(b"\\b"),
            '\u{c}' => out.extend_from_slice(b"\\f"),
            '\n' => out.extend_from_slice(b"\\n"),
            '\r' => out.extend_from_slice(b"\\r"),
            '\t' => out.extend_from_slice(b"\\t"),
            c if c < ' ' => out.extend_from_slice(format!("\\u{:04x}", u32::from(c)).as_bytes()),
            c => out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    out.push(b'"');
}

impl Record {
    /// Reads a record from a line of `journalctl -o json`. Cursor and sequence number are left out: they belong to the
    /// journal that the line came from.
    ///
    /// # Errors
    ///
    /// [`JsonError`] if the line is not such an object.
    pub fn from_json(line: &str) -> Result<Record, JsonError> {
        let parsed: Value = serde_json::from_str(line).map_err(|error| JsonError::Syntax(error.to_string()))?;
        let Value::Object(object) = parsed else { return Err(JsonError::NotAnObject) };
        let time = |name: &str| object.get(name).and_then(Value::as_str).and_then(|text| text.parse::<u64>().ok());
        let mut record = Record {
            realtime: time("__REALTIME_TIMESTAMP").map(IncidentTime::from_micros).ok_or(JsonError::NoTimestamp)?,
            monotonic: time("__MONOTONIC_TIMESTAMP").unwrap_or_default(),
            fields: Vec::with_capacity(object.len()),
        };
        for (name, value) in &object {
            if name.starts_with("__") {
                continue;
            }
            for value in values(value).ok_or_else(|| JsonError::Value(name.clone()))? {
                record.fields.push((name.clone(), value));
            }
        }
        Ok(record)
    }
}

/// The values of a field: none for `null`, one for a string or an array of bytes, else one for each item.
fn values(value: &Value) -> Option<Vec<Vec<u8>>> {
    let byte = |v: &Value| v.as_u64().and_then(|n| u8::try_from(n).ok());
    let one = |v: &Value| match v {
        Value::String(text) => Some(text.as_bytes().to_vec()),
        Value::Array(items) => items.iter().map(byte).collect(),
        _ => None,
    };
    match value {
        Value::Null => Some(Vec::new()),
        Value::String(_) => Some(vec![one(value)?]),
        Value::Array(items) if items.iter().all(Value::is_number) => Some(vec![one(value)?]),
        Value::Array(items) => items.iter().filter(|v| !v.is_null()).map(one).collect(),
        _ => None,
    }
}

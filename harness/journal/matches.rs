//! `FIELD=VALUE` matches and how they combine (journalctl(1), "MATCHES").

use super::Record;

/// One `FIELD=VALUE`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Term {
    /// The field.
    pub field: String,
    /// The value, compared byte for byte.
    pub value: Vec<u8>,
}

/// Not a match: the field's name is missing or not one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
#[error("not a match, expected FIELD=VALUE with a field name of capital letters, digits and underscores")]
pub struct BadMatch;

impl Term {
    /// A match from its parts.
    pub fn new(field: &str, value: impl Into<Vec<u8>>) -> Self {
        Self { field: field.to_owned(), value: value.into() }
    }

    /// Reads `FIELD=VALUE`.
    ///
    /// # Errors
    ///
    /// [`BadMatch`] if there is no `=` or the field has a name that no field can have.
    pub fn parse(text: &str) -> Result<Self, BadMatch> {
        let (field, value) = text.split_once('=').ok_or(BadMatch)?;
        let valid = !field.is_empty()
            && field.len() <= 64
            && !field.starts_with(|c: char| c.is_ascii_digit())
            && field.bytes().all(|b| b.is_ascii_uppercase() || b.is_ascii_digit() || b == b'_');
        if valid { Ok(Self::new(field, value)) } else { Err(BadMatch) }
    }

    fn accepts(&self, record: &Record) -> bool {
        match self.field.as_str() {
            "__REALTIME_TIMESTAMP" | "__MONOTONIC_TIMESTAMP" | "__CURSOR" => false,
            field => record.has(field, &self.value),
        }
    }
}

/// What records must look like. `All(vec![])` takes every record, `Any(vec![])` none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Matcher {
    /// One field.
    Term(Term),
    /// Every one of these.
    All(Vec<Matcher>),
    /// One of these.
    Any(Vec<Matcher>),
    /// Not this.
    Not(Box<Matcher>),
}

impl Matcher {
    /// Takes records with this field.
    pub fn field(field: &str, value: impl Into<Vec<u8>>) -> Self {
        Self::Term(Term::new(field, value))
    }

    /// Combines terms as `journalctl` combines its arguments: terms of one field are alternatives, different fields
    /// must all match.
    pub fn conjunction(terms: impl IntoIterator<Item = Term>) -> Self {
        let mut fields: Vec<(String, Vec<Matcher>)> = Vec::new();
        for term in terms {
            match fields.iter_mut().find(|(field, _)| *field == term.field) {
                Some((_, values)) => values.push(Self::Term(term)),
                None => fields.push((term.field.clone(), vec![Self::Term(term)])),
            }
        }
        Self::All(fields.into_iter().map(|(_, values)| Self::Any(values)).collect())
    }

    /// All records about a unit: what its processes wrote, what the manager says of it, and core dumps
    /// (journalctl(1), `--unit=`). `version` is systemd's: it has told the manager by its PID, later by its group.
    pub fn unit(unit: &str, version: u32) -> Self {
        let both = |a: (&str, &str), b: (&str, &str)| Self::All(vec![Self::field(a.0, a.1), Self::field(b.0, b.1)]);
        let mut any = vec![
            Self::field("_SYSTEMD_UNIT", unit),
            both(if version >= 256 { ("_SYSTEMD_CGROUP", "/init.scope") } else { ("_PID", "1") }, ("UNIT", unit)),
            both(("_UID", "0"), ("OBJECT_SYSTEMD_UNIT", unit)),
            Self::All(vec![
                Self::field("MESSAGE_ID", "fc2e22bc6ee647b6b90729ab34a250b1"),
                Self::field("_UID", "0"),
                Self::field("COREDUMP_UNIT", unit),
            ]),
        ];
        if unit.ends_with(".slice") {
            any.push(Self::field("_SYSTEMD_SLICE", unit));
        }
        Self::Any(any)
    }

    /// Whether the record is taken.
    pub fn accepts(&self, record: &Record) -> bool {
        match self {
            Matcher::Term(term) => term.accepts(record),
            Matcher::All(all) => all.iter().all(|m| m.accepts(record)),
            Matcher::Any(any) => any.iter().any(|m| m.accepts(record)),
            Matcher::Not(matcher) => !matcher.accepts(record),
        }
    }
}

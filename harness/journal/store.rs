//! The store: records of all boots, in order of arrival.

use std::collections::VecDeque;

use super::{Format, Record, Style};

/// How many bytes of records a journal keeps if nothing else is said.
const DEFAULT_LIMIT: usize = 256 << 20;

/// An append-only journal. When it holds more than its limit it forgets the oldest records, as journald does.
#[derive(Clone, Debug)]
pub struct Journal {
    records: VecDeque<Record>,
    /// Sequence number of the oldest record kept; numbers begin at 1.
    first: u64,
    size: usize,
    limit: usize,
    seqnum_id: String,
}

/// A record and its place in the journal.
#[derive(Clone, Copy, Debug)]
pub struct Entry<'a> {
    /// Its sequence number.
    pub seqnum: u64,
    /// The record.
    pub record: &'a Record,
    seqnum_id: &'a str,
}

/// One boot, as `journalctl --list-boots` lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Boot {
    /// `_BOOT_ID`.
    pub id: String,
    /// Time of its first record.
    pub first: crate::time::IncidentTime,
    /// Time of its last record.
    pub last: crate::time::IncidentTime,
}

impl Journal {
    /// An empty journal. `seqnum_id` (32 hex digits) is the part of the cursors that names it.
    pub fn new(seqnum_id: impl Into<String>) -> Self {
        Self { records: VecDeque::new(), first: 1, size: 0, limit: DEFAULT_LIMIT, seqnum_id: seqnum_id.into() }
    }

    /// The part of the cursors that names it.
    pub fn seqnum_id(&self) -> &str {
        &self.seqnum_id
    }

    /// Keeps at most about this many bytes of fields.
    #[must_use]
    pub fn with_limit(mut self, bytes: usize) -> Self {
        self.limit = bytes;
        self
    }

    /// Appends a record and says its sequence number.
    pub fn append(&mut self, record: Record) -> u64 {
        self.size = self.size.saturating_add(weight(&record));
        self.records.push_back(record);
        while self.size > self.limit && self.records.len() > 1 {
            if let Some(oldest) = self.records.pop_front() {
                self.size = self.size.saturating_sub(weight(&oldest));
                self.first += 1;
            }
        }
        self.next_seqnum() - 1
    }

    /// The sequence number that the next record will get.
    pub fn next_seqnum(&self) -> u64 {
        self.first + self.records.len() as u64
    }

    /// All entries, oldest first.
    pub fn entries(&self) -> impl DoubleEndedIterator<Item = Entry<'_>> + ExactSizeIterator {
        self.entries_from(0)
    }

    /// The entries from this sequence number on: what a follower has not seen yet.
    pub fn entries_from(&self, seqnum: u64) -> impl DoubleEndedIterator<Item = Entry<'_>> + ExactSizeIterator {
        let skip = usize::try_from(seqnum.saturating_sub(self.first)).unwrap_or(usize::MAX).min(self.records.len());
        let start = self.first + skip as u64;
        self.records.range(skip..).enumerate().map(move |(index, record)| Entry {
            seqnum: start + index as u64,
            record,
            seqnum_id: &self.seqnum_id,
        })
    }

    /// Every entry as a line of `journalctl -o json --all`, without the newline: the form in which a journal is kept.
    pub fn json_lines(&self, version: u32) -> impl Iterator<Item = Vec<u8>> + '_ {
        let style = Style { all: true, ..Style::new(Format::Json, version) };
        self.entries().map(move |entry| {
            let mut line = Vec::new();
            style.write(&mut line, &entry, None);
            line.pop();
            line
        })
    }

    /// Number of records kept.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether nothing was logged.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// The boots, oldest first. Records without a boot ID belong to none.
    pub fn boots(&self) -> Vec<Boot> {
        let mut boots: Vec<Boot> = Vec::new();
        for record in &self.records {
            let id = record.boot_id();
            match boots.last_mut() {
                Some(boot) if boot.id == id => boot.last = record.realtime,
                _ if id.is_empty() => {}
                _ => boots.push(Boot { id: id.to_owned(), first: record.realtime, last: record.realtime }),
            }
        }
        boots
    }
}

impl Entry<'_> {
    /// The ID of the sequence of numbers, the `s=` of the cursor.
    pub fn seqnum_id(&self) -> &str {
        self.seqnum_id
    }

    /// `__CURSOR`.
    pub fn cursor(&self) -> String {
        format!(
            "s={};i={:x};b={};m={:x};t={:x};x={:x}",
            self.seqnum_id,
            self.seqnum,
            self.record.boot_id(),
            self.record.monotonic,
            self.record.realtime.as_micros(),
            xor_hash(self.record),
        )
    }
}

fn weight(record: &Record) -> usize {
    record.fields.iter().map(|(name, value)| name.len() + value.len() + 48).sum::<usize>() + 64
}

/// Tells records with equal numbers apart. journald combines hashes of the fields with XOR; which hash is its own
/// business, here it is FNV-1a.
fn xor_hash(record: &Record) -> u64 {
    record.fields.iter().fold(0, |sum, (name, value)| {
        let bytes = name.bytes().chain(std::iter::once(b'=')).chain(value.iter().copied());
        sum ^ bytes
            .fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3))
    })
}

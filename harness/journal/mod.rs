//! The journal: records and their fields, the store, and the output formats of `journalctl(1)`. Pure.

mod format;
mod json;
mod machine;
mod matches;
mod record;
mod store;
mod stream;
mod text;
mod timestamp;

pub use format::{Format, Style, UnknownFormat};
pub use json::JsonError;
pub use machine::{Levels, Machine, ManagerLine, StdoutLine};
pub use matches::{BadMatch, Matcher, Term};
pub use record::Record;
pub use store::{Boot, Entry, Journal};
pub use stream::{Line, LineBreak, StreamBuffer};
pub use text::{format_bytes, is_printable};
pub use timestamp::{TimestampError, format_relative, format_timestamp, parse_timestamp};

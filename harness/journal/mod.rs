//! The journal: records and their fields, and `journalctl`'s output formats. Pure.

mod record;

pub use record::*;

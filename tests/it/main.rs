//! All integration tests, one binary: a module per part of the harness.

mod journalctl;
mod time;
mod unit;

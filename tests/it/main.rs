//! All integration tests, one binary: a module per part of the harness.

mod journalctl;
mod scenario;
mod time;
mod unit;

//! All integration tests, one binary: a module per part of the harness.

mod time;
mod unit;

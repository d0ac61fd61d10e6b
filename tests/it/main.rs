//! All integration tests, one binary: a module per part of the harness.

mod expect;
mod expect_state;
mod expect_tables;
mod report;
mod scenario;
mod scenario_anything;
mod scenario_output;
mod scenario_shell;
mod time;
mod timeline;

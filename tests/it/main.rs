//! All integration tests, one binary: a module per part of the harness.

mod journal;
mod journalctl;
mod systemctl;
mod systemctl_stage;
mod systemctl_table;
mod time;
mod unit;
mod unit_exec;
mod unit_names;
mod unit_versions;

//! All integration tests, one binary: a module per part of the harness.

mod journal;
mod journalctl;
mod manager;
mod manager_cases;
mod manager_dependencies;
mod manager_incident;
mod manager_sequences;
mod manager_shell;
mod manager_sockets;
mod manager_tables;
mod manager_versions;
mod systemctl;
mod systemctl_cases;
mod systemctl_stage;
mod systemctl_table;
mod time;
mod unit;
mod unit_exec;
mod unit_names;
mod unit_versions;

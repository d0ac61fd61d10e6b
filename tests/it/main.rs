//! All integration tests, one binary: a module per part of the harness.

mod arrows;
mod controls;
mod journal;
mod journalctl;
mod expect;
mod scenario;
mod leaks;
mod lockstep;
mod systemctl;
mod systemctl_stage;
mod systemctl_table;
mod scenario_output;
mod scenario_shell;
mod manager;
mod manager_cases;
mod manager_dependencies;
mod manager_sequences;
mod manager_shell;
mod manager_tables;
mod time;
mod unit;
mod unit_exec;
mod unit_names;
mod unit_versions;

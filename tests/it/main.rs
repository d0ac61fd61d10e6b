//! All integration tests, one binary: a module per part of the harness.

mod time;
mod unit;
mod unit_exec;
mod unit_install;
mod unit_load;
mod unit_names;
mod unit_properties;
mod unit_socket;
mod unit_versions;

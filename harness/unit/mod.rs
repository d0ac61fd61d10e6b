//! The unit-file language: text in, typed units and warnings in systemd's own words out. Pure.

mod types;

pub use types::*;
